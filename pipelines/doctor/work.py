"""Whether the engine moves, and what waits for somebody."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from crm.channels.letters import NAMES
from crm.models import Message
from pipelines.alarms import alarms
from pipelines.doctor.findings import Clocks, Finding, some
from pipelines.engine.hold import held_since
from pipelines.engine.outage import outages
from pipelines.models import EngineState, EnrollmentDecision
from pipelines.queries import last_tick_at

SILENCE: Final = timedelta(minutes=3)
OUTAGE: Final = timedelta(minutes=10)
ADVICE: Final = {
    "pipeline.silent": "See its triggers and where its events come from.",
    "step.slow": "See what the step waits for: a provider, a pace, its hours.",
    "step.failing": "Mend what the step needs; it is tried again by itself, or by “Try again” on its pipeline's page.",
}
# The sweep of the next tick tries them again.
SWEPT_WITHIN: Final = timedelta(minutes=10)


def no_tick(clocks: Clocks) -> Sequence[Finding]:
    """The engine looks for due runs at least every other minute."""
    ticked = last_tick_at()
    if ticked is not None and ticked >= clocks.real_now - SILENCE:
        return []
    when = "never" if ticked is None else f"last at {ticked:%Y-%m-%d %H:%M} UTC"
    return [
        Finding(
            code="tick.silent",
            problem=f"The engine does not look for due runs ({when}).",
            advice="Start `manage.py worker`, and see in its output whether a cluster works.",
        )
    ]


def held_after_restore(clocks: Clocks) -> Sequence[Finding]:
    """A restored installation waits for somebody's word before it sends anything."""
    held = held_since()
    if held is None:
        return []
    return [
        Finding(
            code="engine.held",
            problem=f"Restored at {held:%Y-%m-%d %H:%M} UTC: no run moves and nothing is sent.",
            advice="Look at it, see that the original is stopped, then `manage.py restore --start`.",
        )
    ]


def mail_outage(clocks: Clocks) -> Sequence[Finding]:
    """The mail server could not be reached at the last attempts; messages wait meanwhile."""
    outage = EngineState.objects.filter(name="mail-outage", at__gt=clocks.now - OUTAGE).first()
    if outage is None:
        return []
    return [
        Finding(
            code="mail.outage",
            problem=f"The mail server cannot be reached ({outage.data.get('code', 'unknown')}).",
            advice="See EMAIL_URL and the server; messages wait and no attempt is counted against them.",
        )
    ]


def provider_outages(clocks: Clocks) -> Sequence[Finding]:
    """Providers of teams that let nobody in; their messages wait meanwhile."""
    return [
        Finding(
            code="channel.outage",
            problem=f"The provider of {NAMES[outage.channel]} of a team lets nobody in ({outage.code}).",
            advice="See its settings under Team → Channels; saving them tries again at once. No attempt is counted.",
            ids=(outage.team_id,),
        )
        for outage in outages(team=None, now=clocks.now)
        if outage.team_id is not None
    ]


def uncertain_messages(clocks: Clocks) -> Sequence[Finding]:
    """Messages of which nobody knows whether they arrived."""
    return some(
        Message.objects.filter(state=Message.State.UNCERTAIN, decided_at=None),
        code="messages.uncertain",
        problem="{count} message{s} may or may not have arrived, and wait for a decision.",
        advice="Accept or resend them in the admin, under messages.",
    )


def failed_enrollments(clocks: Clocks) -> Sequence[Finding]:
    """Records that an error kept out of their pipeline, and that no sweep has taken up since."""
    return some(
        EnrollmentDecision.objects.filter(settled=False, at__lt=clocks.now - SWEPT_WITHIN),
        code="enrollments.failed",
        problem="{count} enrollment{s} failed and {are} not settled by the sweep.",
        advice='The worker\'s log names the error ("enrollment failed again"); the sweep goes on trying.',
    )


def silence_and_lateness(clocks: Clocks) -> Sequence[Finding]:
    """Steps that fail for too many, pipelines that nobody enters any more, and steps far slower than usual."""
    return [
        Finding(
            code=alarm.code,
            problem=alarm.sentence,
            advice=ADVICE[alarm.code],
            ids=(alarm.pipeline_id,),
        )
        for alarm in alarms(team=None, now=clocks.now)
    ]
