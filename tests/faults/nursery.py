"""Worker processes by the dozen: a ready program that forks one for each deed, breaks it on request and watches it.

As a program it reads requests as JSON lines and answers each with one. It never touches the database itself, so every
child has connections of its own, as the processes of a cluster do. What nobody breaks can be left to one child that
lives on, as a worker does.
"""

import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tests.databases import keep_no_statements
from tests.faults.programs import Pipe

DEEDS = "tests.faults.deeds"


class Child:
    """One worker process: a deed, perhaps with a fault in its way."""

    def __init__(self, nursery: "Nursery", pid: int, answer: Path) -> None:
        self._nursery, self.pid, self._answer = nursery, pid, answer

    def wait(self) -> int | None:
        """Its exit status, negative for the signal that ended it; None when it stands still."""
        found: int | None = self._nursery.ask(wait=self.pid)["status"]
        return found

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    @property
    def ended(self) -> bool:
        return bool(self._nursery.ask(poll=self.pid)["ended"])

    @property
    def answer(self) -> Any:
        """What the deed returned; it must have ended well."""
        return _answer(self._answer, self.wait())


class Nursery:
    """`do("work")` runs a deed to its end in a new process, `start("work", fault="after_claim:kill9")` a doomed one.

    `at_hand("work")` leaves it to the process that lives on. Deeds of another module are called by their whole path.
    """

    def __init__(self, *, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._folder.mkdir(exist_ok=True)
        self._pipe = Pipe("-m", "tests.faults.nursery", environment=environment)

    def ask(self, **request: Any) -> dict[str, Any]:
        return self._pipe.ask(request)

    def start(self, deed: str, *, fault: str = "", **arguments: Any) -> Child:
        answer = self._new_answer()
        born = self.ask(start=deed, fault=fault, arguments=arguments, answer=str(answer))
        return Child(self, int(born["pid"]), answer)

    def do(self, deed: str, **arguments: Any) -> Any:
        return self.start(deed, **arguments).answer

    def at_hand(self, deed: str, **arguments: Any) -> Any:
        answer = self._new_answer()
        done = self.ask(at_hand=True, start=deed, fault="", arguments=arguments, answer=str(answer))
        return _answer(answer, done["status"])

    def _new_answer(self) -> Path:
        return self._folder / f"{time.monotonic_ns()}.json"

    def close(self) -> None:
        self._pipe.close()


class _Hand:
    """The child that lives on and does one deed after the other."""

    def __init__(self) -> None:
        asked, asks = os.pipe()
        answers, answered = os.pipe()
        if os.fork() == 0:
            os.close(asks)
            os.close(answers)
            _serve(os.fdopen(asked), os.fdopen(answered, "w"))
            os._exit(0)
        os.close(asked)
        os.close(answered)
        self._asks, self._answers = os.fdopen(asks, "w"), os.fdopen(answers)

    def do(self, request: dict[str, Any]) -> dict[str, Any]:
        print(json.dumps(request), file=self._asks, flush=True)
        done: dict[str, Any] = json.loads(self._answers.readline())
        return done


def _serve(requests: IO[str], answers: IO[str]) -> None:
    from django.db import close_old_connections

    for line in requests:
        # As between two passes of a worker: a database that was away meanwhile is asked anew.
        close_old_connections()
        print(json.dumps({"status": _live(json.loads(line))}), file=answers, flush=True)


def _answer(path: Path, status: int | None) -> Any:
    text = path.read_text("utf-8") if path.exists() else "nothing"
    assert status == 0, f"ended with {status}: {text}"
    return json.loads(text)


def _main() -> None:
    import django

    django.setup()
    keep_no_statements()
    importlib.import_module(DEEDS)
    _get_ready()
    statuses: dict[int, int] = {}
    hand: _Hand | None = None
    answer: dict[str, Any]
    # The pipe itself is for the answers; whatever a deed prints goes where errors go.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        if "at_hand" in request:
            hand = hand or _Hand()
            answer = hand.do(request)
        elif "start" in request:
            answer = {"pid": (born := _fork(request))}
            # Numbers of processes come round; whoever had this one before has ended.
            statuses.pop(born, None)
        elif "poll" in request:
            answer = {"ended": _reaped(int(request["poll"]), statuses, os.WNOHANG) is not None}
        else:
            answer = {"status": _reaped(int(request["wait"]), statuses, os.WUNTRACED)}
        print(json.dumps(answer), file=answers, flush=True)


def _get_ready() -> None:
    """Do once what every child would do again: imports, checks and compiling; nothing here touches the database."""
    from django.core import checks, validators
    from django.db.migrations.loader import MigrationLoader
    from django.template import engines
    from django.urls import get_resolver

    checks.run_checks()
    get_resolver().reverse_dict  # noqa: B018
    MigrationLoader(None)
    validators.validate_email("ann@example.org")
    engines.all()
    # What lives by now stays for ever: children need not walk through it, nor copy its pages.
    gc.collect()
    gc.freeze()


def _deed(name: str) -> Callable[..., Any]:
    module, _, name = name.rpartition(".")
    found: Callable[..., Any] = getattr(importlib.import_module(module or DEEDS), name)
    return found


def _fork(request: dict[str, Any]) -> int:
    # Its module is imported once, not by every child again.
    _deed(request["start"])
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = _live(request)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _live(request: dict[str, Any]) -> int:
    from crm import faults

    target = Path(request["answer"])
    try:
        deed = _deed(request["start"])
        faults.arm(request["fault"])
        answer = json.dumps(deed(**request["arguments"]), default=str)
        # Whole or not at all.
        target.with_suffix(".part").write_text(answer, "utf-8")
        target.with_suffix(".part").rename(target)
    except BaseException:
        target.write_text(traceback.format_exc(), "utf-8")
        return 1
    return 0


def _reaped(pid: int, statuses: dict[int, int], flags: int) -> int | None:
    """The exit status once it ended; None while it lives or stands still."""
    if pid in statuses:
        return statuses[pid]
    done, status = os.waitpid(pid, flags)
    if done == 0 or os.WIFSTOPPED(status):
        return None
    statuses[pid] = os.waitstatus_to_exitcode(status)
    return statuses[pid]


if __name__ == "__main__":
    _main()
