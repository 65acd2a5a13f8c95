"""Families of processes: whatever a program under test starts, in whichever session, is found by a word it inherits.

As a program it is a warden: it waits until the test run that started it is gone, however it went, and ends what is left
of it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

RUN, FAMILY = "CRM_TEST_RUN", "CRM_TEST_FAMILY"
PATIENCE = 10.0


def word_of_run() -> str:
    """What everything has that this test run started."""
    return f"{RUN}={os.environ[RUN]}"


def begin_run() -> None:
    """From now on, whatever this process starts does not outlive it: a warden sees to that."""
    os.environ[RUN] = uuid4().hex
    subprocess.Popen(
        [sys.executable, "-m", "tests.families", str(os.getpid()), word_of_run()],
        cwd=Path(__file__).parent.parent, env={**os.environ, RUN: "warden"}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ).returncode = 0  # fmt: skip


def end_run() -> list[str]:
    """Commands of processes that some test left behind, now ended; what is about to end by itself may do so."""
    until = time.monotonic() + PATIENCE / 2
    while members(word_of_run()) and time.monotonic() < until:
        time.sleep(0.05)
    return end(word_of_run())


def members(word: str) -> list[int]:
    """Processes that live and have this word, such as `NAME=value`, in the environment they were started with."""
    wanted = word.encode()
    found = []
    for folder in _processes():
        # Most belong to others, and any may end while it is looked at; the environment of a zombie is empty.
        with suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def end(word: str) -> list[str]:
    """Kill them until none is born any more; the commands that there were."""
    told: dict[int, str] = {}
    until = time.monotonic() + PATIENCE
    while (found := members(word)) and time.monotonic() < until:
        for pid in found:
            told.setdefault(pid, _command(pid))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    return list(told.values())


def _processes() -> Iterator[Path]:
    """None where there is no /proc; what is started there is ended by its parents alone."""
    return (folder for folder in Path("/proc").glob("[0-9]*"))


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    return "?"


if __name__ == "__main__":
    parent = int(sys.argv[1])
    while os.getppid() == parent:
        time.sleep(0.5)
    end(sys.argv[2])
