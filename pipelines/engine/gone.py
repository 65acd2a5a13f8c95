"""What follows when the other side says that an address is gone for good: no more mail, and people are told."""

from collections.abc import Sequence
from datetime import datetime

from crm.models import Member, Message, Notification, Role
from crm.suppression import suppress_bounced
from pipelines.models import Effect, PipelineRun, PipelineStep


def heed(effects: Sequence[Effect], *, now: datetime) -> None:
    """Mailboxes that do not exist are suppressed; of receivers that are gone the owners of the team hear once."""
    mails = [effect for effect in effects if effect.kind == Effect.Kind.EMAIL]
    texts = [effect for effect in effects if effect.kind == Effect.Kind.SMS]
    calls = [effect for effect in effects if effect.kind == Effect.Kind.HTTP]
    if mails:
        messages = Message.objects.filter(pk__in=[int(effect.payload["message"]) for effect in mails])
        addresses = list(messages.values_list("team_id", "recipient"))
        suppress_bounced(addresses, source="The mail server knows no such mailbox.")
    if texts:
        numbers = Message.objects.filter(pk__in=[int(effect.payload["message"]) for effect in texts])
        source = "The provider says that this number takes no SMS of ours."
        suppress_bounced(list(numbers.values_list("team_id", "recipient")), source=source, topic="sms")
    if calls:
        _tell_owners([effect.run_id for effect in calls], now)


def _tell_owners(run_ids: Sequence[int], now: datetime) -> None:
    """One note for each step, and no second one while the first is unread."""
    step_ids = PipelineRun.objects.filter(pk__in=run_ids).values("step_id")
    steps = list(PipelineStep.objects.filter(pk__in=step_ids).select_related("pipeline"))
    titles = {step.pk: f"Receiver gone: {step.name or step.key} of {step.pipeline.name}"[:200] for step in steps}
    teams = {step.pipeline.team_id for step in steps}
    unread = Notification.objects.filter(team_id__in=teams, title__in=titles.values(), read_at=None)
    told = set(unread.values_list("user_id", "title"))
    owners = Member.objects.filter(team_id__in=teams, role=Role.OWNER, user__is_active=True)
    pairs = list(owners.values_list("team_id", "user_id"))
    Notification.objects.bulk_create(
        Notification(
            team_id=team_id,
            user_id=user_id,
            title=titles[step.pk],
            body="It answered 410: this address will not come back. Correct the address in the step, or remove the"
            " step; until then every run takes the step's error path.",
            created_at=now,
        )
        for step in steps
        for team_id, user_id in pairs
        if team_id == step.pipeline.team_id and (user_id, titles[step.pk]) not in told
    )
