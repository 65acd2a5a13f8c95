"""A claimed run in memory: the columns the engine reads and writes, and what it remembers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pipelines.actions.base import ChildResult, Signal
from pipelines.states import RunPhase, RunStatus

# A run that was just inserted: its id, pipeline and subject, and the key that it holds.
InsertedRun = tuple[int, int, int | None, UUID | None]
# The columns that a claim selects, in this order.
COLUMNS = (
    "id",
    "pipeline_id",
    "version_id",
    "subject_type_id",
    "subject_id",
    "trigger_id",
    "dedup",
    "status",
    "step_id",
    "last_step_id",
    "next_step_at",
    "phase",
    "attempt",
    "seq",
    "parent_id",
    "root_id",
    "created_at",
    "depth",
    "test",
)
# The columns that a move writes, in this order.
MOVED = (
    "version_id",
    "dedup",
    "status",
    "step_id",
    "last_step_id",
    "next_step_at",
    "phase",
    "attempt",
    "seq",
    "outcome",
    "reason",
    "finished_at",
)
# Keys of this UUID version stay held after the run has finished (`once`, `after`).
KEPT_VERSION = 8
# So are those of runs that do one step beside another run's way, and nothing after it.
SIDE_VERSION = 9
# Members of an enumeration are slow to reach, and every visit asks for these.
_PENDING, _ENTER = RunStatus.PENDING.value, RunPhase.ENTER.value


@dataclass(frozen=True, slots=True)
class Answer:
    """The signal of a visit and when the visit began."""

    signal: Signal
    since: datetime


@dataclass(slots=True)
class Cursor:
    """One run between its claim and the write that moves it."""

    id: int
    pipeline_id: int
    version_id: int
    subject_type_id: int | None
    subject_id: int | None
    trigger_id: int | None
    dedup: UUID | None
    status: int
    step_id: int | None
    last_step_id: int | None
    next_step_at: datetime | None
    phase: int
    attempt: int
    seq: int
    parent_id: int | None
    root_id: int | None
    created_at: datetime
    depth: int = 0
    test: bool = False
    outcome: str | None = None
    reason: str | None = None
    finished_at: datetime | None = None
    # Of a block: how many of its children are open and at how many it is woken; None where that stays as it is.
    counts: tuple[int, int] | None = None

    def copy(self) -> "Cursor":
        return replace(self)

    def arrive(self, *, step_id: int, due: datetime, left: int | None) -> None:
        """Stand before a step that is due then."""
        self.status, self.phase, self.attempt = _PENDING, _ENTER, 0
        self.step_id, self.last_step_id, self.next_step_at = step_id, left, due
        self.seq += 1

    def postpone(self, *, until: datetime, attempt: int | None = None) -> None:
        """Stay before this step until then."""
        self.status, self.next_step_at = RunStatus.PENDING.value, until
        self.phase = RunPhase.ASIDE.value if self.is_aside else RunPhase.ENTER.value
        if attempt is not None:
            self.attempt = attempt

    def repeat(self, *, at: datetime) -> None:
        """Stay inside a block that failed, until what failed in it is tried again."""
        self.status, self.phase, self.next_step_at = _PENDING, RunPhase.REPEAT.value, at
        self.attempt += 1

    def depart(self, *, watchdog: datetime) -> None:
        """An effect is in flight; look again at the watchdog if nothing came back."""
        self.status, self.next_step_at = RunStatus.RUNNING.value, watchdog

    def wait(self, *, deadline: datetime | None) -> None:
        """Something outside must happen; whatever happens first, this or the deadline, resumes the step."""
        self.status, self.phase, self.next_step_at = RunStatus.WAITING.value, RunPhase.WAIT.value, deadline

    def finish(self, *, status: RunStatus, reason: str, outcome: str | None, now: datetime) -> None:
        """End the run and free its re-entry key unless the key is kept."""
        self.status, self.finished_at, self.next_step_at = status.value, now, None
        self.reason, self.outcome = reason[:60], outcome
        self.last_step_id = self.step_id if self.step_id is not None else self.last_step_id
        if self.dedup is not None and _version(self.dedup) not in (KEPT_VERSION, SIDE_VERSION):
            self.dedup = None

    @property
    def is_aside(self) -> bool:
        """Whether the run does one step for a run that has passed it, and ends after it."""
        return is_aside(self.dedup)


def is_aside(key: UUID | None) -> bool:
    """Whether this is the key of a run that does one step beside another run's way."""
    return key is not None and _version(key) == SIDE_VERSION


def _version(key: UUID) -> int:
    """The version of one of our keys, without asking for its variant as `UUID.version` does."""
    return key.int >> 76 & 0xF


@dataclass(slots=True)
class NewRun:
    """A row of a run that is about to begin; its columns by name, the rest as the table has it."""

    pipeline_id: int
    version_id: int
    subject_type_id: int | None
    subject_id: int | None
    trigger_id: int | None
    dedup: UUID | None
    step_id: int | None
    next_step_at: datetime | None
    created_at: datetime
    depth: int = 0
    status: int = RunStatus.PENDING.value
    phase: int = RunPhase.ENTER.value
    attempt: int = 0
    seq: int = 1
    open_children: int = 0
    wake_at: int = 0
    parent_seq: int = 0
    slot: int = 0
    test: bool = False
    parent_id: int | None = None
    root_id: int | None = None
    # Only of a branch that is skipped: it has ended before it begins.
    outcome: str | None = None
    reason: str | None = None
    finished_at: datetime | None = None


@dataclass(slots=True)
class Family:
    """The children of one visit of a block, by slot, and when the block has to be over."""

    children: list[ChildResult] = field(default_factory=list)
    deadline: datetime | None = None


@dataclass(slots=True)
class Ancestor:
    """A run around another: where it stands, when it began, when its block has to be over and what it remembers."""

    id: int
    parent_id: int | None
    step_id: int | None
    created_at: datetime
    deadline: datetime | None
    memory: "Memory"


@dataclass(slots=True)
class Memory:
    """The context of a run: what it was started with and what it remembers."""

    trigger: dict[str, Any] = field(default_factory=dict)
    vars: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    # Names of a child run's place: the item of a loop and its index.
    locals: dict[str, Any] = field(default_factory=dict)
    dirty: bool = False

    def assign(self, values: Mapping[str, Any]) -> None:
        if values:
            self.vars.update(values)
            self.dirty = True

    def name(self, values: Mapping[str, Any]) -> None:
        if values:
            self.locals.update(values)
            self.dirty = True

    def keep(self, key: str, output: Mapping[str, Any]) -> None:
        self.outputs[key] = dict(output)
        self.dirty = True


@dataclass(slots=True)
class Visit:
    """One row of the log."""

    run_id: int
    root_id: int | None
    step_id: int
    seq: int
    attempt: int
    event: int
    outcome: str | None
    started_at: datetime
    finished_at: datetime
    why: list[Any] | None = None
    output: Mapping[str, Any] | None = None
    error: str | None = None
