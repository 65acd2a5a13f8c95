"""Programs of the product as they run in life: started, watched, signalled, counted."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from tests import families

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 40.0


class Program:
    """A `manage.py` command in a session of its own, its output read line by line."""

    def __init__(self, *arguments: str, environment: dict[str, str], prefix: Sequence[str] = ()) -> None:
        self._word = uuid4().hex
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment, families.FAMILY: self._word},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def says(self, pattern: str, *, times: int = 1) -> re.Match[str]:
        """The match of the nth time a pattern is printed."""

        def found() -> bool:
            return len(list(re.finditer(pattern, self.output))) >= times

        eventually(found, lambda: f"{pattern!r} x {times} is missing in:\n{self.output}")
        return list(re.finditer(pattern, self.output))[times - 1]

    def ends(self, *, within: float = PATIENCE) -> int:
        """The exit status; all that was printed has been read then."""
        status = self.process.wait(within)
        self._reader.join(5)
        return status

    def leave_nothing(self) -> None:
        """For the end of a test, however it went: orphans in sessions of their own are found too."""
        leave_nothing(self.process, self._word)
        self._reader.join(5)


def leave_nothing(process: subprocess.Popen[str], word: str) -> None:
    """End a process and all that has this word in its environment, or, where that cannot be seen, all below it."""
    below = [] if Path("/proc/self/environ").exists() else descendants(process.pid)
    process.kill()
    process.wait()
    for pid in below:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    families.end(f"{families.FAMILY}={word}")


def eventually(
    holds: Callable[[], bool],
    otherwise: Callable[[], str] = lambda: "it never happened",
    *,
    within: float = PATIENCE,
) -> None:
    """Look until it is so; processes have no clock that a test could turn."""
    until = time.monotonic() + within
    while not holds():
        assert time.monotonic() < until, otherwise()
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """False also for zombies."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def children(pid: int) -> list[int]:
    """Direct children of a process."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return [child for child, parent in pairs if parent == pid]


def descendants(pid: int) -> list[int]:
    """Everything below a process, children first."""
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found
