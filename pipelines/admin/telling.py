"""What happened to a run, told in sentences: one for each visit, and one for what comes next."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from crm.models import Message
from pipelines.actions.registry import kinds, step_title
from pipelines.admin.links import clock_time, link_to
from pipelines.circuits import is_kept
from pipelines.engine.clock import engine_now
from pipelines.models import Effect, PipelineRun, Trigger
from pipelines.queries import Story, StoryVisit

MOST_VALUES: Final = 6
LONGEST_VALUE: Final = 80
STATES: Final[Mapping[str, str]] = {
    "queued": "waits to be sent",
    "sending": "is being handed over",
    "sent": "accepted by the mail server",
    "failed": "not delivered",
    "uncertain": "nobody knows whether it arrived",
    "skipped": "not sent",
    "cancelled": "called off",
}
TONES: Final[Mapping[str, str]] = {
    "completed": "good",
    "failed": "bad",
    "skipped": "dull",
    "retried": "warn",
    "timed out": "warn",
    "waiting": "dull",
    "moved": "dull",
    "note": "warn",
}


@dataclass(frozen=True, slots=True)
class Told:
    """One entry of the timeline."""

    at: datetime
    step: str
    icon: str
    tone: str
    sentence: SafeString
    reasons: tuple[SafeString, ...] = ()
    error: str = ""
    visit: int = 0
    attempt: int = 0


def tell(run: PipelineRun, story: Story) -> list[Told]:
    """The entries in order: how the run began, every visit, and what is on its way."""
    entries = [_entered(run)]
    for position, visit in enumerate(story.visits):
        entries.append(_visited(visit, _next_name(run, visit, story.visits[position + 1 :])))
    if story.open_messages:
        entries += [_open(run, message.created_at, _message(message)) for message in story.open_messages]
    else:
        entries += [_open(run, effect.created_at, _effect(effect)) for effect in story.open_effects]
    return entries


def stands(run: PipelineRun) -> SafeString:
    """Where a run stands, in one sentence."""
    name = run.get_status_display()
    step = run.step
    title = step_title(step) if step else ""
    if name in ("pending", "running") and is_kept(run, now=engine_now()):
        return format_html("Waits at ‘{}’: the step fails for too many, and a few are tried first.", title)
    if name == "pending" and run.next_step_at:
        tries = format_html(" It is attempt {} at this step.", run.attempt + 1) if run.attempt else ""
        return format_html("Waits until {} and then enters ‘{}’.{}", clock_time(run.next_step_at), title, tries)
    if name == "running":
        return format_html("Is at ‘{}’: what it asked for is on its way.", title)
    if name == "waiting":
        until = format_html(", at the latest until {}", clock_time(run.next_step_at)) if run.next_step_at else ""
        return format_html("Waits at ‘{}’ for something to happen{}.", title, until)
    if name == "paused":
        plan = format_html(" Its time was {}.", clock_time(run.held_until)) if run.held_until else ""
        return format_html("Was paused before ‘{}’ and waits to be resumed.{}", title, plan)
    when = clock_time(run.finished_at) if run.finished_at else ""
    reason = format_html(" ({})", words(run.reason or "")) if said_reason(run) else ""
    ended = {"completed": "Completed", "failed": "Failed", "cancelled": "Was cancelled"}[name]
    return format_html("{}{} on {}.", ended, reason, when)


def said_reason(run: PipelineRun) -> bool:
    """Whether the reason of an end says more than its status."""
    return bool(run.reason) and run.reason not in ("end", "error", run.get_status_display())


def visit_title(visit: StoryVisit) -> str:
    """A step in the log by its name, or by what it does; its key says little to people."""
    kind = kinds().get(visit.action_type)
    return kind.label if kind and visit.step_name == visit.step_key else visit.step_name


def clause(leaf: Mapping[str, Any]) -> SafeString:
    """One clause of a condition with what was found: "stage is lead → yes"."""
    if leaf.get("error"):
        return format_html("{}", leaf["error"])
    if leaf.get("note"):
        return format_html("{}", leaf["note"])
    if "field" not in leaf:
        return format_html("{}", words(str(leaf.get("rule", "") or leaf)))
    operator = str(leaf.get("operator", "")).replace("_", " ")
    expected = "" if leaf.get("expected") is None else shown(leaf["expected"])
    met = bool(leaf.get("met"))
    found = "" if met and leaf.get("operator") == "equals" else f", it was {shown(leaf.get('actual'))}"
    if operator == "expression":
        operator, expected = "", ""
        found = "".join(f", {name} was {shown(value)}" for name, value in leaf.get("values", {}).items())
    return format_html(
        "<code>{}</code> {} {} → <b class='pl-{}'>{}</b>{}",
        leaf["field"], operator, expected, "met" if met else "unmet", "yes" if met else "no", found,
    )  # fmt: skip


def shown(value: Any) -> str:
    """A value as people read it."""
    if value is None or value == "":
        return "empty"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(shown(each) for each in value)
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def words(code: str) -> str:
    """`subject_deleted` as words."""
    return code.replace("_", " ")


def _entered(run: PipelineRun) -> Told:
    trigger = run.trigger
    chosen = trigger is None or trigger.kind == Trigger.Kind.MANUAL
    how = "by hand or through the API" if chosen else f"by “{trigger}”"
    sentence = format_html("Entered {} with {}.", how, run.version)
    return Told(run.created_at, "Start", "login", "good", sentence)


def _visited(visit: StoryVisit, next_name: str) -> Told:
    kind = kinds().get(visit.action_type)
    return Told(
        at=visit.at,
        step=visit_title(visit),
        icon=kind.icon if kind else "bolt",
        tone=_tone(visit),
        sentence=_sentence(visit, next_name),
        reasons=tuple(clause(leaf) for leaf in visit.why or () if isinstance(leaf, Mapping) and "rule" not in leaf),
        error=_error(visit),
        visit=visit.seq,
        attempt=visit.attempt,
    )


def _tone(visit: StoryVisit) -> str:
    if visit.outcome == "uncertain":
        return "warn"
    if visit.outcome == "error":
        return "bad"
    return TONES.get(visit.event, "dull")


AGAIN: Final = re.compile(r"(?<=Tried again at )(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC")


def _error(visit: StoryVisit) -> str:
    """With the time of the next try by the clock of the page."""
    return AGAIN.sub(lambda said: clock_time(datetime.fromisoformat(f"{said[1]}+00:00")), visit.error or "")


def _sentence(visit: StoryVisit, next_name: str) -> SafeString:
    match visit.event:
        case "retried":
            return SafeString("Did not work, and will be tried again.")
        case "moved":
            return format_html("This step was removed from the pipeline, so the run went on{}.", _to(next_name))
        case "note":
            return SafeString("Could not set a variable.")
        case "skipped" if visit.outcome == "error":
            return format_html("Did not work; the run went on{}.", _to(next_name))
        case "skipped":
            return _skipped(visit)
        case "failed":
            return SafeString("Did not work, and the run failed here.")
    teller = _TELLERS.get(visit.action_type, _did)
    return teller(visit, next_name)


def _skipped(visit: StoryVisit) -> SafeString:
    if visit.why:
        return SafeString("Skipped, because its condition was not met.")
    return SafeString("Skipped.")


def _sent(visit: StoryVisit, next_name: str) -> SafeString:
    if not visit.messages:
        return SafeString("Handed its message over to be sent.")
    return format_html_join(" ", "{}", ((_message(message),) for message in visit.messages))


def _message(message: Message) -> SafeString:
    state = STATES.get(message.state, message.state)
    verb = "Sent" if message.state in ("sent", "uncertain") else "Email"
    why = format_html(" ({})", words(message.reason)) if message.reason and message.state != "sent" else ""
    name = link_to(message, f"‘{message.subject or 'no subject'}’")
    if message.state == "queued" and message.held_until:
        held = clock_time(message.held_until)
        return format_html("{} {} to {} — waits until {}: {}.", verb, name, message.recipient, held, message.held_by)
    if message.state == "queued" and message.held_by:
        return format_html("{} {} to {} — waits: {}.", verb, name, message.recipient, message.held_by)
    return format_html("{} {} to {} — {}{}.", verb, name, message.recipient, state, why)


def _effect(effect: Effect) -> SafeString:
    payload = effect.payload or {}
    if effect.kind == Effect.Kind.HTTP:
        return format_html("Calls {} {}.", payload.get("method", "POST"), shown(payload.get("url")))
    return format_html("Is at work ({}).", effect.get_status_display())


def _called(visit: StoryVisit, next_name: str) -> SafeString:
    output = visit.output if isinstance(visit.output, Mapping) else {}
    answer = format_html(" — answered {}", output["status"]) if "status" in output else ""
    for effect in visit.effects:
        payload = effect.payload or {}
        if payload.get("url"):
            return format_html("Called {} {}{}.", payload.get("method", "POST"), shown(payload["url"]), answer)
    return format_html("Called another system{}.", answer)


def _task(visit: StoryVisit, next_name: str) -> SafeString:
    if not visit.tasks:
        return SafeString("Created a task.")
    return format_html_join(
        " ", "Created the task {}, which is {}.",
        ((link_to(task, f"‘{task.title}’"), task.get_status_display().lower()) for task in visit.tasks),
    )  # fmt: skip


def _waited(visit: StoryVisit, next_name: str) -> SafeString:
    return SafeString("Had waited long enough and went on.")


def _decided(visit: StoryVisit, next_name: str) -> SafeString:
    met = visit.outcome == "true"
    led = format_html("it went on{}", _to(next_name)) if next_name else "the run ended here"
    return format_html("The condition was {}, so {}.", "met" if met else "not met", led)


def _updated(visit: StoryVisit, next_name: str) -> SafeString:
    return format_html("Set {}.", _pairs(visit.output))


def _remembered(visit: StoryVisit, next_name: str) -> SafeString:
    return format_html("Remembered {}.", _pairs(visit.output))


def _notified(visit: StoryVisit, next_name: str) -> SafeString:
    return SafeString("Left a note for the person in charge.")


def _ended(visit: StoryVisit, next_name: str) -> SafeString:
    return format_html("Ended the run as {}.", visit.outcome or "completed")


def _did(visit: StoryVisit, next_name: str) -> SafeString:
    led = f" with “{words(visit.outcome)}”" if visit.outcome not in (None, "", "next") else ""
    return format_html("Done{}.", led)


_TELLERS: Final[Mapping[str, Callable[[StoryVisit, str], SafeString]]] = {
    "send_email": _sent,
    "call_api": _called,
    "create_task": _task,
    "wait": _waited,
    "condition": _decided,
    "update_record": _updated,
    "set_variable": _remembered,
    "notify": _notified,
    "end": _ended,
}


def _pairs(values: Any) -> SafeString:
    if not isinstance(values, Mapping) or not values:
        return SafeString("what the step says")
    listed = list(values.items())
    rest = f" and {len(listed) - MOST_VALUES} more" if len(listed) > MOST_VALUES else ""
    pairs = ((name, shown(value)) for name, value in listed[:MOST_VALUES])
    return format_html("{}{}", format_html_join(", ", "<code>{}</code> to {}", pairs), rest)


def _to(name: str) -> SafeString:
    return format_html(" to ‘{}’", name) if name else SafeString("")


def _next_name(run: PipelineRun, visit: StoryVisit, later: Sequence[StoryVisit]) -> str:
    """The step a visit led to: the next one in the log, or the one the run stands at now."""
    for each in later:
        if each.seq != visit.seq:
            return visit_title(each)
    if run.is_finished:
        return ""
    return step_title(run.step) if run.step and run.seq != visit.seq else ""


def _open(run: PipelineRun, at: datetime, sentence: SafeString) -> Told:
    step = run.step
    kind = kinds().get(step.action_type) if step else None
    title = step_title(step) if step else ""
    return Told(at, title, kind.icon if kind else "bolt", "dull", sentence, visit=run.seq)
