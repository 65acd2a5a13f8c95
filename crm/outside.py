"""The way out of the machine can be closed: what tries out must never send."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_closed: ContextVar[str] = ContextVar("closed", default="")


class OutsideClosed(RuntimeError):
    """Something tried to leave the machine where nothing may."""


@contextmanager
def closed(because: str) -> Iterator[None]:
    """Refuse every channel to whatever runs in here."""
    token = _closed.set(because)
    try:
        yield
    finally:
        _closed.reset(token)


def is_closed() -> bool:
    return bool(_closed.get())


def check_open() -> None:
    """Raises OutsideClosed where nothing may leave the machine."""
    because = _closed.get()
    if because:
        raise OutsideClosed(f"Nothing leaves the machine during {because}.")
