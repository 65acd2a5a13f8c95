"""How a visit ends, or what it waits for: a closed list of outcomes, and the requests inside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pipelines.actions.changes import Change

Why = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class MessageDraft:
    """A rendered message on its way to one recipient.

    `also` are more devices of the same person, and `data` is what goes along with a push message.
    """

    recipient: str
    subject: str
    text: str
    html: str
    sender: str = ""
    reply_to: str = ""
    topic: str = ""
    attachments: tuple[Mapping[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    channel: str = "email"
    # "on" or "off"; empty is what the team chose.
    tracking: str = ""
    also: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EffectRequest:
    """Work that leaves the database, kept as a row until it is done."""

    kind: str  # email | sms | push | whatsapp | chat | http | code | custom
    payload: Mapping[str, Any] = field(default_factory=dict)
    message: MessageDraft | None = None
    at_most_once: bool = False


@dataclass(frozen=True, slots=True)
class Child:
    """One child run: a scope of this program with its place and names, or another pipeline by its key.

    One that is skipped is only noted, with its reason.
    """

    scope: str
    slot: int
    locals: Mapping[str, Any] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    pipeline: str = ""
    skipped: str = ""


class Done(NamedTuple):
    """The visit is over; `outcome` names the edge to follow."""

    outcome: str = "next"
    output: Mapping[str, Any] | None = None
    # What the log shows instead of a large output.
    shown: Mapping[str, Any] | None = None
    changes: tuple[Change, ...] = ()
    why: Why = ()
    note: str = ""
    # Pipelines that are started and go on alone.
    started: tuple[Child, ...] = ()


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Stay at this step until then."""

    at: datetime
    why: Why = ()


@dataclass(frozen=True, slots=True)
class Await:
    """Leave the database and come back with a signal."""

    effect: EffectRequest
    why: Why = ()


@dataclass(frozen=True, slots=True)
class EventRequest:
    """One event that a visit waits for; `where` is the condition as written, `match` values of the payload."""

    name: str
    event: str
    where: Any = None
    match: Mapping[str, Any] | None = None
    # Events at or after this moment count, also those that were there before; None means from now on.
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class HumanRequest:
    """A task for a person, whose answer is the signal of the visit."""

    title: str
    description: str = ""
    assignee: Any = None
    team: str = ""
    role: str = ""
    priority: str = "medium"
    due_at: datetime | None = None
    remind: float | None = None
    # Whether the assignee is told by mail, with a link to the form.
    notify: bool = True
    outcomes: tuple[str, ...] = ()
    form: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Wait for something outside: the first event or the condition that is met, a person, or the deadline."""

    events: tuple[EventRequest, ...] = ()
    human: HumanRequest | None = None
    # As written; checked at once and whenever the subject changes.
    condition: Any = None
    count: int = 1
    deadline: datetime | None = None
    why: Why = ()


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start these children, none to only go on waiting; come back when at most `wake_at` are open or one failed."""

    children: tuple[Child, ...]
    wake_at: int = 0
    deadline: datetime | None = None
    # Variables that finished children hand to the run before the new ones begin.
    exported: Mapping[str, Any] = field(default_factory=dict)
    # What the block itself has to know when it is looked at again.
    kept: Mapping[str, Any] = field(default_factory=dict)
    why: Why = ()
    # Children that failed before and are tried again now, by their runs.
    again: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Joined:
    """A block is over: its open children are cancelled or go on alone, and what the others left becomes visible.

    `output` is that of the block itself, `outputs` those of the steps inside by key, `exported` variables.
    With an `error` the block takes its error edge, with the class `code`.
    """

    outcome: str = "next"
    cancel_rest: bool = True
    error: str = ""
    code: str = "error"
    output: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    exported: Mapping[str, Any] = field(default_factory=dict)
    why: Why = ()


@dataclass(frozen=True, slots=True)
class Retry:
    """Try the visit again, after that many seconds or as the step's retry rule says."""

    error: str
    code: str = "error"
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """The visit failed for good; the `error` edge decides what that means."""

    error: str
    code: str = "error"
    why: Why = ()


@dataclass(frozen=True, slots=True)
class Exit:
    """End the run at once."""

    status: str  # completed | failed | cancelled
    reason: str
    # Also the runs around it, up to the root.
    terminate: bool = False
    why: Why = ()


Outcome = Done | WaitUntil | Await | WaitFor | Spawn | Joined | Retry | Fail | Exit
