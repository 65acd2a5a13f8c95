"""The contract of a step: frozen input in, one outcome out, and no I/O in between.

What is made for every visit is a named tuple: frozen as well, and made in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple, Protocol

from pipelines.actions.changes import Change, Create, Enroll, MakeSegment, Member, Set, Unenroll, Update
from pipelines.actions.outcomes import (
    Await,
    Child,
    Done,
    EffectRequest,
    EventRequest,
    Exit,
    Fail,
    HumanRequest,
    Joined,
    MessageDraft,
    Outcome,
    Retry,
    Spawn,
    WaitFor,
    WaitUntil,
    Why,
)
from pipelines.definition.conditions import Condition
from pipelines.definition.narrowing import Narrowing
from pipelines.definition.program import Step
from pipelines.definition.templates import Template, compile_template

__all__ = [
    "AGAIN",
    "NOT_REACHED",
    "SKIPPED",
    "SKIP_REASONS",
    "TERMINATE",
    "Await",
    "Change",
    "Child",
    "ChildResult",
    "Create",
    "DeliveryError",
    "Done",
    "EffectRequest",
    "Enroll",
    "EventRequest",
    "Exit",
    "Fail",
    "Fault",
    "Found",
    "HumanRequest",
    "Input",
    "Joined",
    "Kind",
    "MakeSegment",
    "Member",
    "MessageDraft",
    "Outcome",
    "RecordShape",
    "Resources",
    "Retry",
    "Search",
    "Set",
    "Signal",
    "Spawn",
    "Unenroll",
    "Update",
    "WaitFor",
    "WaitUntil",
    "Why",
    "deadline_of",
    "message_text",
    "settle",
    "text_template",
]

SKIPPED = "skipped"
# Why a branch never ran: its `if` said no, or none of those it comes after ended as wanted.
NOT_REACHED = "not_reached"
SKIP_REASONS = frozenset({"condition", NOT_REACHED})
# Why a child has ended that failed, and waits for room to be tried again.
AGAIN = "to be tried again"
# How a child ends that ends the runs around it, too.
TERMINATE = "terminate"
# What is wrong with a step as it is written: where inside the step, and a sentence.
Fault = tuple[tuple[str | int, ...], str]


@dataclass(frozen=True, slots=True)
class Signal:
    """What came back for a visit that waited: the answer of an effect, a person, an event, or the deadline.

    `outcome` names the edge to take: an event's name, `met`, `timeout`, or what a person declared.
    """

    status: str  # done | failed | uncertain | skipped | timeout | lost
    result: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    error: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class ChildResult:
    """How a child run of the current visit stands; `vars` and `outputs` are filled only where the block reads them.

    `failed_at`, the key of a step, and `error` are filled where the block fails for it. One that is tried `again` has
    failed before and waits for room to do so.
    """

    run_id: int
    slot: int
    status: str  # pending | running | waiting | paused | completed | failed | cancelled
    outcome: str | None
    reason: str | None
    started_at: datetime
    vars: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    failed_at: str = ""
    error: str = ""
    again: bool = False

    @property
    def finished(self) -> bool:
        return self.status in ("completed", "failed", "cancelled") and not self.again

    @property
    def running(self) -> bool:
        return not self.finished and not self.again

    @property
    def skipped(self) -> bool:
        return self.outcome == SKIPPED and self.reason in SKIP_REASONS

    @property
    def completed(self) -> bool:
        return self.status == "completed" and not self.skipped

    @property
    def failed(self) -> bool:
        return self.status == "failed"


class Resources(Protocol):
    """Rows that steps read by key, loaded once per batch by the engine."""

    def template(self, key: str) -> Any:
        """The compiled message template of the run's team, or None."""

    def own_fields(self, model: str) -> tuple[Mapping[str, Any], ...]:
        """The fields that the team defines for a model."""

    def record_type(self, key: str) -> RecordShape | None:
        """A type of records that the run's team defines, or None."""


@dataclass(frozen=True, slots=True)
class RecordShape:
    """A type of records that a team defines: its id and its fields as they are written."""

    id: int
    key: str
    label: str
    fields: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Writes:
    """Names of fields that a step writes: of a model, of the subject (empty), or of records it does not say (`*`)."""

    model: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Search:
    """Records of one team that a step looks for; `narrowed` is what the database may decide of the condition.

    Searches with the same key find the same, so that they are done once for all runs of a batch.
    """

    key: str
    team_id: int
    model: str
    shape: RecordShape | None
    order: str
    limit: int
    where: Condition | None = None
    narrowed: Narrowing | None = None
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, or the sentence that says why it could not be done."""

    records: tuple[Mapping[str, Any], ...] = ()
    error: str = ""


class Input(NamedTuple):
    """Everything one visit may look at. `context` holds the names of engine.md 7.1."""

    run_id: int
    seq: int
    attempt: int
    team_id: int
    subject: Mapping[str, Any] | None
    context: Mapping[str, Any]
    now: datetime
    resources: Resources
    signal: Signal | None = None
    # Of a block: its child runs in this visit, by slot; those skipped never had one.
    children: tuple[ChildResult, ...] = ()
    # When a block that is visited again has to be over.
    deadline: datetime | None = None
    # What the search of the step found, for kinds that search.
    found: Found | None = None

    @property
    def rng(self) -> Random:
        """Randomness that is the same whenever this visit is planned again."""
        return Random(f"{self.run_id}:{self.seq}")

    @property
    def key(self) -> str:
        """The idempotency key of this visit, stable over retries and crashes."""
        return f"{self.run_id}:{self.seq}"


class Kind:
    """One action type. Subclass it, set the attributes, write `plan`, and register it."""

    code: str = ""
    label: str = ""
    description: str = ""
    icon: str = "bolt"
    group: str = "Flow"
    schema: Mapping[str, Any] = {"type": "object", "additionalProperties": False}
    outcomes: tuple[str, ...] = ("next", "error")
    effects: bool = False
    # A block: it starts child runs and is looked at again as they end.
    opens_scopes: bool = False
    at_most_once: bool = False
    # The other side knows the key of an effect again, or doing it twice does no harm: said by who knows the other side.
    idempotent: bool = False
    requires_subject: bool = False
    searches: bool = False
    # Fields of the subject that it reads beside those that its parameters name; None when it may read any of them.
    reads_of_subject: frozenset[str] | None = None

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        """Decide what each visit does; reads its inputs only."""
        raise NotImplementedError

    def resume(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        """Read each visit's signal and end the visit."""
        return [settle(step, visit) for visit in batch]

    def off(self) -> str:
        """What somebody has to do before this installation can run it; empty where it can."""
        return ""

    def check(self, step: Mapping[str, Any]) -> Iterator[Fault]:
        """What is wrong with a step of a document beyond its schema, which it already fits."""
        yield from ()

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        """All names that later steps may read of what a step of a document puts out, but its error; None if open."""
        return None

    def search(self, step: Step, visit: Input) -> Search | Fail | None:
        """What the visit looks for; the engine finds it before it asks for a plan."""
        return None

    def reads_record_types(self, step: Step) -> bool:
        """Whether the step needs the team's own types of records."""
        return False

    def writes_fields(self, step: Step) -> Writes | None:
        """Which fields of which records the step writes; the definitions of the team for them are read before."""
        return None

    def template_keys(self, step: Step) -> tuple[str, ...]:
        """Keys of the message templates that this step reads."""
        return ()

    def deliver(self, *, payload: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """Do the outside work of a `custom` effect; raise `DeliveryError` when it did not work."""
        raise NotImplementedError


class DeliveryError(Exception):
    """The outside work of a custom action failed.

    `permanent` says that trying again does not help; `unknown` that it may have been done.
    """

    def __init__(self, detail: str, *, code: str = "error", permanent: bool = False, unknown: bool = False) -> None:
        super().__init__(detail)
        self.detail, self.code, self.permanent, self.unknown = detail, code, permanent, unknown


@lru_cache(maxsize=5_000)
def text_template(source: str, *, html: bool = False) -> Template:
    """A text of a step as a template, compiled once per text."""
    return compile_template(source, html=html)


def message_text(step: Step, context: Mapping[str, Any]) -> str:
    """The message of a step with its placeholders filled in; raises TemplateError."""
    return text_template(step.message).render(context) if step.message else ""


def deadline_of(step: Step, now: datetime) -> datetime | None:
    """When a visit that begins now has to be over; None for never."""
    return None if step.timeout is None else now + timedelta(seconds=step.timeout)


def settle(step: Step, visit: Input) -> Outcome:
    """Turn the answer of an effect into the outcome of its visit."""
    signal = visit.signal
    if signal is None:
        return Fail("The answer of this step was lost.", code="lost")
    if signal.status == "done":
        return Done(outcome=signal.outcome or "next", output=signal.result)
    if signal.status == "timeout":
        return Done(outcome="timeout")
    if signal.status in ("skipped", "uncertain"):
        return Done(outcome=signal.status, note=signal.error)
    return Fail(signal.error or "The step failed.", code=signal.code or "error")
