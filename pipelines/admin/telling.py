"""What happened to a run, told in sentences: one for each visit, and one for what comes next."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from crm.models import Message
from pipelines.actions.registry import kinds, step_title
from pipelines.admin.links import clock_time, link_to
from pipelines.admin.outcomes import came_out
from pipelines.circuits import is_kept
from pipelines.engine.clock import engine_now
from pipelines.models import Effect, PipelineRun
from pipelines.states import RunPhase
from pipelines.story import StoryVisit

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
    "captured": "captured by this test run, not sent",
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
class Then:
    """What came after a visit."""

    # The next step by its name; empty after the last.
    step: str = ""
    # Whose visit it was: that of the run itself, of a branch, a round.
    who: str = "run"
    # Whether it was the last of a run that failed.
    failed: bool = False

    @property
    def ended(self) -> str:
        return "failed" if self.failed else "ended"


def stands(run: PipelineRun) -> SafeString:
    """Where a run stands, in one sentence."""
    name = run.get_status_display()
    step = run.step
    title = step_title(step) if step else ""
    if name in ("pending", "running") and is_kept(run, now=engine_now()):
        return format_html("Waits at ‘{}’: the step fails for too many, and a few are tried first.", title)
    if name == "pending" and run.next_step_at:
        tries = format_html(" It is attempt {} at this step.", run.attempt + 1) if run.attempt else ""
        what = "repeats what failed inside" if run.phase == RunPhase.REPEAT else "enters"
        return format_html("Waits until {} and then {} ‘{}’.{}", clock_time(run.next_step_at), what, title, tries)
    if name == "running":
        return format_html("Is at ‘{}’: what it asked for is on its way.", title)
    if name == "waiting":
        until = format_html(", at the latest until {}", clock_time(run.next_step_at)) if run.next_step_at else ""
        if run.open_children:
            return format_html("Is inside ‘{}’ until what runs there has ended{}.", title, until)
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


def tone_of(visit: StoryVisit) -> str:
    if visit.outcome == "uncertain":
        return "warn"
    if visit.outcome == "error":
        return "bad"
    return TONES.get(visit.event, "dull")


AGAIN: Final = re.compile(r"(?<=Tried again at )(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC")


def error_of(visit: StoryVisit) -> str:
    """With the time of the next try by the clock of the page."""
    return AGAIN.sub(lambda said: clock_time(datetime.fromisoformat(f"{said[1]}+00:00")), visit.error or "")


def sentence_of(visit: StoryVisit, then: Then) -> SafeString:
    match visit.event:
        case "retried":
            return SafeString("Did not work, and will be tried again.")
        case "moved":
            return format_html(
                "This step was removed from the pipeline, so the {} went on{}.", then.who, _to(then.step)
            )
        case "note":
            return SafeString("Could not set a variable.")
        case "skipped" if visit.outcome == "error":
            return format_html("Did not work; the {} went on{}.", then.who, _to(then.step))
        case "skipped":
            return _skipped(visit)
        case "failed":
            return format_html("Did not work, and the {} failed here.", then.who)
    teller = _TELLERS.get(visit.action_type, _did)
    return teller(visit, then)


def _skipped(visit: StoryVisit) -> SafeString:
    if visit.why:
        return SafeString("Skipped, because its condition was not met.")
    return SafeString("Skipped.")


def _sent(visit: StoryVisit, then: Then) -> SafeString:
    if not visit.messages:
        return SafeString("Handed its message over to be sent.")
    return format_html_join(" ", "{}", ((message_words(message),) for message in visit.messages))


def message_words(message: Message) -> SafeString:
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


def effect_words(effect: Effect) -> SafeString:
    payload = effect.payload or {}
    if effect.kind == Effect.Kind.TEST and payload.get("url"):
        return _request(payload)
    if effect.kind == Effect.Kind.HTTP:
        return format_html("Calls {} {}.", payload.get("method", "POST"), shown(payload.get("url")))
    return format_html("Is at work ({}).", effect.get_status_display())


def _request(payload: Mapping[str, Any]) -> SafeString:
    """The call that a test run did not make."""
    body = payload.get("body")
    said = body if isinstance(body, str) or body is None else json.dumps(body, ensure_ascii=False, default=str)
    told = format_html(" with <code>{}</code>", shown(said)) if said else ""
    return format_html(
        "Would call {} {}{}; nothing was called.", payload.get("method", "POST"), shown(payload.get("url")), told
    )


def _called(visit: StoryVisit, then: Then) -> SafeString:
    output = visit.output if isinstance(visit.output, Mapping) else {}
    answer = format_html(" — answered {}", output["status"]) if "status" in output else ""
    for effect in visit.effects:
        payload = effect.payload or {}
        if effect.kind == Effect.Kind.TEST and payload.get("url"):
            return format_html("{} It was taken to be answered by 200.", _request(payload))
        if payload.get("url"):
            return format_html("Called {} {}{}.", payload.get("method", "POST"), shown(payload["url"]), answer)
    return format_html("Called another system{}.", answer)


def _task(visit: StoryVisit, then: Then) -> SafeString:
    if not visit.tasks:
        return SafeString("Created a task.")
    return format_html_join(
        " ", "Created the task {}, which is {}.",
        ((link_to(task, f"‘{task.title}’"), task.get_status_display().lower()) for task in visit.tasks),
    )  # fmt: skip


def _waited(visit: StoryVisit, then: Then) -> SafeString:
    return SafeString("Had waited long enough and went on.")


def _decided(visit: StoryVisit, then: Then) -> SafeString:
    met = visit.outcome == "true"
    led = format_html("it went on{}", _to(then.step)) if then.step else f"the {then.who} {then.ended} here"
    return format_html("The condition was {}, so {}.", "met" if met else "not met", led)


def _updated(visit: StoryVisit, then: Then) -> SafeString:
    return format_html("Set {}.", _pairs(visit.output))


def _remembered(visit: StoryVisit, then: Then) -> SafeString:
    return format_html("Remembered {}.", _pairs(visit.output))


def _notified(visit: StoryVisit, then: Then) -> SafeString:
    return SafeString("Left a note for the person in charge.")


def _ended(visit: StoryVisit, then: Then) -> SafeString:
    return format_html("Ended the {} as {}.", then.who, visit.outcome or "completed")


def _did(visit: StoryVisit, then: Then) -> SafeString:
    return format_html("{}", came_out(visit.action_type, visit.outcome) or "Done.")


_TELLERS: Final[Mapping[str, Callable[[StoryVisit, Then], SafeString]]] = {
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
