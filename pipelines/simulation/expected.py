"""What a played future brings one contact: messages, what is not sent and by which rule, and what it waits for."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from contacts.models import Contact
from crm.models import Message, Suppression
from crm.opt_in import NO_CONSENT, WITHDRAWN
from crm.suppression import NOT_CONFIRMED, NOT_SUBSCRIBED, WORDS, in_words
from pipelines.engine.holding import CAPPED, NEVER
from pipelines.engine.journal import TOO_LATE
from pipelines.engine.outage import KEPT
from pipelines.models import PipelineRun, StepExecution
from pipelines.simulation.future import Awaited, Future, read_future
from pipelines.simulation.standing import Standing, addresses_of
from pipelines.states import RunStatus

SENDING: Final[Mapping[str, str]] = {
    "send_email": "email", "send_sms": "sms", "send_whatsapp": "whatsapp", "send_push": "push",
}  # fmt: skip
WAITING: Final = ("wait_for", "human_task")
# Verdicts and rules are words of the API.
VERDICTS: Final = ("sent", "held", "skipped", "failed", "depends")
SENT, HELD, SKIPPED, FAILED, DEPENDS = VERDICTS
RULES: Final = (
    "", "send_hours", "frequency_cap", "pace", "outage", "uncertain", "suppression", "topic", "consent", "no_address",
    "condition", "exit", "wait", "too_late", "error",
)  # fmt: skip
REASONS: Final[Mapping[str, str]] = {
    NO_CONSENT: "consent", WITHDRAWN: "consent", NOT_SUBSCRIBED: "topic", NOT_CONFIRMED: "topic",
    CAPPED: "frequency_cap", NEVER: "send_hours",
}  # fmt: skip
LONGEST_SUBJECT: Final = 120
SAME_NUMBER: Final = 8
Event = StepExecution.Event


class _Place(NamedTuple):
    """Where an item comes from."""

    run_id: int
    step_id: int | None
    visit: int


def expected(standing: Standing, *, first_id: int, begins: datetime) -> dict[str, Any]:
    """`{runs, items}`, the items in order of time; called in the database in memory."""
    future = read_future(standing, first_id=first_id, begins=begins)
    # Waits first: what comes after them rests on them.
    items = [*_over(future), *_open(future), *_messages(future), *_unsent(future), *_exits(future)]
    items.sort(key=lambda item: (item["at"], item["run"] or 0, item["visit"]))
    return {"runs": [_run(future, run) for run in standing.roots], "items": items}


def _over(future: Future) -> Iterator[dict[str, Any]]:
    """Waits that end in the play as if what they wait for never came."""
    for visit in future.visits:
        if _kind(future, visit.step_id) in WAITING and visit.outcome == "timeout":
            awaited = _awaited(future, visit.run_id, visit.seq)
            place = _Place(visit.run_id, visit.step_id, visit.seq)
            yield _wait(future, place, awaited, until=visit.finished_at)
            future.premises.append((visit.run_id, visit.finished_at, f"{awaited.what} does not come in time"))


def _open(future: Future) -> Iterator[dict[str, Any]]:
    """Waits that still go on when the play is over."""
    for run in future.runs.values():
        if run.status == RunStatus.WAITING and _kind(future, run.step_id) in WAITING:
            place = _Place(run.pk, run.step_id, run.seq)
            yield _wait(future, place, _awaited(future, run.pk, run.seq), until=run.next_step_at)


def _awaited(future: Future, run_id: int, seq: int) -> Awaited:
    return future.awaited.get((run_id, seq), Awaited("something to happen", future.begins))


def _wait(future: Future, place: _Place, awaited: Awaited, *, until: datetime | None) -> dict[str, Any]:
    then = "after that it goes on without" if until is not None else "it waits for as long as that takes"
    return _item(
        future, place, at=max(awaited.since, future.begins), kind="wait", verdict=DEPENDS, rule="wait",
        sentence=f"Waits for {awaited.what}; {then}.", until=until,
    )  # fmt: skip


def _messages(future: Future) -> Iterator[dict[str, Any]]:
    blocked = _blocked()
    for message in future.messages:
        judged = _judged(future, message, blocked) if reaches(message, future.standing.contact) else None
        if judged is not None:
            verdict, rule, sentence, at = judged
            yield _item(
                future, _Place(message.run_id or 0, message.step_id, message.run_seq or 0),
                at=at, kind="message", verdict=verdict, rule=rule, sentence=sentence,
                due_at=max(message.created_at, future.begins), until=at if verdict == HELD else None,
                channel=message.channel, subject=_subject(message),
            )  # fmt: skip


def _subject(message: Message) -> str:
    return (message.subject or " ".join(message.text.split()))[:LONGEST_SUBJECT]


def reaches(message: Message, contact: Contact) -> bool:
    """Whether a message goes to the contact; steps also write to colleagues and to rooms."""
    match message.channel:
        case Message.Channel.CHAT:
            return False
        case Message.Channel.EMAIL:
            return message.recipient.lower() == contact.email.lower()
        case Message.Channel.PUSH:
            return message.about_id == contact.pk
    # Numbers come with and without their country.
    last = _digits(message.recipient)[-SAME_NUMBER:]
    return bool(last) and any(_digits(each).endswith(last) for each in addresses_of(contact))


def _digits(text: str) -> str:
    return "".join(each for each in text if each.isdigit())


def _judged(future: Future, message: Message, blocked: set[str]) -> tuple[str, str, str, datetime] | None:
    """(verdict, rule, sentence, moment); None for what the play did not get to."""
    effect = future.effects.get((message.run_id or 0, message.run_seq or 0))
    ended = (effect.finished_at if effect is not None else None) or message.created_at
    held = f"Held: {message.held_by}."
    state = Message.State
    match message.state:
        case state.SENT:
            at = message.sent_at or ended
            if message.held_by and at > message.created_at:
                return HELD, _holding(message.held_by), held, at
            return SENT, "", "", at
        case state.QUEUED if message.held_until and message.held_by:
            return HELD, _holding(message.held_by), held, message.held_until
        case state.SKIPPED:
            rule = REASONS.get(message.reason) or _refusing(message.recipient.lower() in blocked)
            return SKIPPED, rule, message.error or f"Not sent: the recipient {in_words(message.reason)}.", ended
        case state.CANCELLED:
            return SKIPPED, "exit", "Called off: its run ends before it may leave.", ended
        case state.FAILED:
            return FAILED, "error", message.error or "It cannot be sent.", ended
    return None


def _holding(words: str) -> str:
    """The rule behind the words that a held message says."""
    if words.startswith("frequency cap"):
        return "frequency_cap"
    if words.startswith(KEPT):
        return "outage"
    return "pace" if words.startswith("pace of") else "send_hours"


def _refusing(blocked: bool) -> str:
    """Who wants nothing at all is suppressed; who wants nothing of this kind has its topic off."""
    return "suppression" if blocked else "topic"


def _blocked() -> set[str]:
    """Addresses that get nothing at all."""
    return set(Suppression.objects.filter(topic="").values_list("address", flat=True))


def _unsent(future: Future) -> Iterator[dict[str, Any]]:
    """Visits of sending steps that make no message at all."""
    blocked = bool(_blocked() & {each.lower() for each in addresses_of(future.standing.contact)})
    for visit in future.visits:
        kind = _kind(future, visit.step_id)
        made = (visit.run_id, visit.seq) in future.effects
        if kind in SENDING and visit.event in (Event.SKIPPED, Event.FAILED) and not made:
            rule, sentence = _why_unsent(visit, blocked)
            yield _item(
                future, _Place(visit.run_id, visit.step_id, visit.seq), at=visit.finished_at, kind="message",
                verdict=FAILED if rule == "error" else SKIPPED, rule=rule, sentence=sentence,
                due_at=visit.finished_at, channel=SENDING[kind], why=visit.why or [],
            )  # fmt: skip


def _why_unsent(visit: StepExecution, blocked: bool) -> tuple[str, str]:
    """(rule, sentence); the log of a visit has words alone."""
    error = visit.error or ""
    if visit.event == Event.FAILED:
        return "error", error
    if error == TOO_LATE:
        return "too_late", error
    if error.startswith("Not sent: the recipient"):
        return _refusing(blocked and not any(words in error for words in WORDS.values())), error
    if error.startswith("Not sent: there is no"):
        return "no_address", error
    return ("error", error) if error else ("condition", "Not sent: the condition of the step is not met.")


def _exits(future: Future) -> Iterator[dict[str, Any]]:
    """Runs that a rule ends on the way: what would have come after that is not sent."""
    left = {visit.run_id for visit in future.visits for clause in visit.why or () if clause.get("rule") == "exit"}
    for root in future.standing.roots:
        run = future.runs[root.pk]
        if run.finished_at is not None and (run.status == RunStatus.CANCELLED or run.pk in left):
            words = (run.reason or "").replace("_", " ")
            yield _item(
                future, _Place(run.pk, run.last_step_id, run.seq), at=run.finished_at, kind="exit", verdict=SKIPPED,
                rule="exit", sentence=f"Leaves the pipeline ({words}): what would have come after is not sent.",
            )  # fmt: skip


def _item(future: Future, place: _Place, *, at: datetime, kind: str, **more: Any) -> dict[str, Any]:
    run = future.runs[place.run_id]
    top = future.line(place.run_id)[-1]
    return {
        "at": at, "kind": kind, "verdict": "", "rule": "", "sentence": "", "due_at": None, "until": None,
        "pipeline": run.pipeline.key, "pipeline_name": run.pipeline.name,
        "step": future.step_key(place.step_id), "step_name": future.step_name(place.step_id), "visit": place.visit,
        # What begins only on the way has no run yet.
        "run": top if top < future.first_id else None,
        "channel": "", "subject": "", "why": [],
        **more,
        "depends_on": future.granted(place.run_id, at) if kind != "wait" else [],
    }  # fmt: skip


def _run(future: Future, root: PipelineRun) -> dict[str, Any]:
    """A live run: where it stands now, and how it ends if nothing happens from outside."""
    end = future.runs[root.pk]
    finished = end.finished_at is not None
    return {
        "run": root.pk, "pipeline": root.pipeline.key, "pipeline_name": root.pipeline.name,
        "status": root.get_status_display(), "pipeline_status": root.pipeline.get_status_display().lower(),
        "step": future.step_key(root.step_id), "step_name": future.step_name(root.step_id),
        "next_step_at": root.next_step_at,
        "ends": end.get_status_display() if finished else "", "reason": (end.reason or "") if finished else "",
        "ends_at": end.finished_at,
    }  # fmt: skip


def _kind(future: Future, step_id: int | None) -> str:
    step = future.steps.get(step_id or 0)
    return step.action_type if step is not None else ""
