"""What a step causes while it works, so that pipelines which start each other come to an end."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

# A run may start a run that starts a run; nobody needs more than this many in a row.
MAX_DEPTH: Final = 8

_depth: ContextVar[int | None] = ContextVar("depth", default=None)
_origin: ContextVar[int | None] = ContextVar("origin", default=None)
_testing: ContextVar[bool] = ContextVar("testing", default=False)


@contextmanager
def caused_by(depth: int, pipeline_id: int | None = None) -> Iterator[None]:
    """Records that are created in here, and events, come from a run of this depth; known is maybe of which pipeline."""
    tokens = _depth.set(depth), _origin.set(pipeline_id)
    try:
        yield
    finally:
        _depth.reset(tokens[0])
        _origin.reset(tokens[1])


def origin() -> int | None:
    """The pipeline at whose step something happens now; None outside of the engine."""
    return _origin.get()


def next_depth() -> int:
    """How many runs in a row have led to what is started now; 0 outside of the engine."""
    depth = _depth.get()
    return 0 if depth is None else depth + 1


@contextmanager
def as_test() -> Iterator[None]:
    """What happens in here is told to nobody, and starts nothing but further tests."""
    token = _testing.set(True)
    try:
        yield
    finally:
        _testing.reset(token)


def is_test() -> bool:
    """Whether runs that are tests are at work now."""
    return _testing.get()
