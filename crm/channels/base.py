"""What a channel answers: done, definitely not done, or not known."""

from dataclasses import dataclass, field
from typing import Any, Literal

Code = Literal[
    "timeout", "connection", "validation", "blocked", "http_4xx", "http_5xx", "http_429", "smtp_4xx", "smtp_5xx", "code"
]

# "sure" where nothing of it can be owed to one message: no connection, wrong credentials, too many at once.
Away = Literal["no", "maybe", "sure"]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The other side has accepted it."""

    reference: str
    detail: dict[str, Any] = field(default_factory=dict)
    # Devices among several that are gone for good.
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Definitely not accepted. `retry_after` is in seconds, None when the other side named none."""

    code: Code
    detail: str
    permanent: bool
    retry_after: float | None = None
    # There is no such mailbox, or the receiver says that its address is gone for good.
    gone: bool = False
    # Devices among several that are gone for good.
    lost: tuple[str, ...] = ()
    # Whether the provider lets nobody in, which says nothing about this message.
    away: Away = "no"


@dataclass(frozen=True, slots=True)
class Unknown:
    """It was handed over and the answer was lost: it may have arrived. `code` says how, for rules of trying again."""

    detail: str
    code: Literal["timeout", "connection"] = "timeout"


DeliveryResult = Delivered | Refused | Unknown
