"""What a step causes while it works, so that pipelines which start each other come to an end."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

# A run may start a run that starts a run; nobody needs more than this many in a row.
MAX_DEPTH: Final = 8

_depth: ContextVar[int | None] = ContextVar("depth", default=None)


@contextmanager
def caused_by(depth: int) -> Iterator[None]:
    """Records that are created in here come from a run of this depth."""
    token = _depth.set(depth)
    try:
        yield
    finally:
        _depth.reset(token)


def next_depth() -> int:
    """How many runs in a row have led to what is started now; 0 outside of the engine."""
    depth = _depth.get()
    return 0 if depth is None else depth + 1
