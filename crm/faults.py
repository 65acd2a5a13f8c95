"""Named points at which a test may break the process, chosen by the environment and free when unused."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

VARIABLE: Final = "CRM_FAULT"
ACTIONS: Final = ("kill9", "raise", "sleep", "stop", "exec_then_raise")
SLEEP_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Point:
    """One sentence that says where the process stands there, and whether it holds a transaction open."""

    description: str
    in_transaction: bool = False


POINTS: dict[str, Point] = {}
# How often each point was met, while this process counts.
MET: Counter[str] = Counter()


class InjectedFault(Exception):
    """Raised at a point that was told to raise."""


class _Armed:
    """The fault this process was started with."""

    def __init__(self, text: str) -> None:
        name, action, nth = [*text.split(":"), "1"][:3]
        if action not in ACTIONS:
            raise ValueError(f"{VARIABLE}: the action must be one of {', '.join(ACTIONS)}.")
        self.name, self.action, self.left = name, action, int(nth)

    def due(self, name: str) -> bool:
        """True at the n-th visit of the point, once."""
        if name != self.name:
            return False
        self.left -= 1
        return self.left == 0


def _from_environment() -> _Armed | None:
    text = os.environ.get(VARIABLE, "")
    return _Armed(text) if text else None


_armed = _from_environment()
_counting = False


def register(name: str, description: str, *, in_transaction: bool = False) -> None:
    """Announce a point, so that tests can walk all of them."""
    new = Point(description, in_transaction)
    if POINTS.setdefault(name, new) != new:
        raise ValueError(f"There are two fault points named {name}.")


def arm(text: str) -> None:
    """Arm this process with `point:action[:nth]`; an empty text disarms it."""
    global _armed
    _armed = _Armed(text) if text else None


def count() -> None:
    """From now on this process counts in `MET` which points it meets."""
    global _counting
    _counting = True
    MET.clear()


def point(name: str, then: Callable[[], object] | None = None) -> None:
    """Break here if this process was told to; `then` is the work `exec_then_raise` does before it raises."""
    if _counting:
        MET[name] += 1
    if _armed is not None and _armed.due(name):
        _break(_armed.action, name, then)


def _break(action: str, name: str, then: Callable[[], object] | None) -> None:
    match action:
        case "kill9":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "sleep":
            time.sleep(SLEEP_SECONDS)
        case "exec_then_raise":
            if then is not None:
                then()
            raise InjectedFault(name)
        case _:
            raise InjectedFault(name)
