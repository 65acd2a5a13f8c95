"""Names to addresses within a time limit, which the resolver of a system does not have."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Thread
from typing import Final

LIMIT: Final = 16

Resolver = Callable[[str, int], Sequence[str]]


class _Places:
    """How many lookups may be under way; a forked process starts with all places free."""

    def __init__(self) -> None:
        self.renew()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.free = BoundedSemaphore(LIMIT)


_places = _Places()


def ask_system(host: str, port: int) -> Sequence[str]:
    """Every address the system knows for a name, each once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def lookup(resolver: Resolver, host: str, port: int, *, seconds: float) -> Sequence[str]:
    """Ask once and wait at most so long; raises TimeoutError, or what the resolver raised.

    A lookup that hangs keeps its place until the resolver gives up, and no process waits for it at its end.
    """
    end = time.monotonic() + seconds
    free = _places.free
    if not free.acquire(timeout=max(seconds, 0.0)):
        raise TimeoutError("too many lookups are under way")
    answers: SimpleQueue[Sequence[str] | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(resolver(host, port))
        except Exception as error:  # handed to the caller, who waits in another thread
            answers.put(error)
        finally:
            free.release()

    try:
        Thread(target=ask, name="resolve", daemon=True).start()
    except RuntimeError:
        free.release()
        raise OSError("no thread could be started") from None
    try:
        answer = answers.get(timeout=max(end - time.monotonic(), 0.0))
    except Empty:
        raise TimeoutError("the name could not be resolved in time") from None
    if isinstance(answer, Exception):
        raise answer
    return answer
