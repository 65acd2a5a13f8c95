"""Web and worker side by side on a laptop: started together, stopped together, their output told apart."""

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import IO, Any, Final

from django.conf import settings

HOST: Final = "127.0.0.1"
LOOK_SECONDS: Final = 0.1
# Longer than the worker gives its own cluster.
WORKER_GRACE: Final = 5
PATIENCE: Final = 10.0
READ_BYTES: Final = 65_536

Tell = Callable[[str], None]


class PortTaken(Exception):
    """Something else listens there."""


@dataclass(slots=True)
class Part:
    """One program of the whole; what it prints is collected into lines."""

    name: str
    process: subprocess.Popen[bytes]
    rest: bytes = field(default=b"")

    def lines(self, data: bytes) -> list[str]:
        """The lines that are complete now."""
        *whole, self.rest = (self.rest + data).split(b"\n")
        return [line.decode(errors="replace").rstrip("\r") for line in whole]


class Development:
    """The web server and the worker of one laptop."""

    def __init__(self, *, port: int, tell: Tell, greeting: Callable[[str], Sequence[str]]) -> None:
        self._port = port
        self._tell = tell
        self._greeting = greeting
        self._parts: list[Part] = []
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._greeted = False

    def run(self) -> int:
        """Work until SIGTERM, SIGINT or SIGHUP: 0 then, 1 when a part ended by itself."""
        refuse_taken_port(self._port)
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, self._stop)
        try:
            # Both have the settings that were checked when `dev` itself started.
            self._start("web", "runserver", "--noreload", "--skip-checks", f"{HOST}:{self._port}")
            self._start("worker", "worker", "--skip-checks", "--grace", str(WORKER_GRACE))
            return self._watch()
        finally:
            self._end()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _start(self, name: str, *arguments: str) -> None:
        """In a session of its own, so that Ctrl-C in the terminal reaches only us and we stop it in order."""
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and commands
            [sys.executable, "-m", "django", *arguments],
            cwd=settings.BASE_DIR,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        part = Part(name, process)
        self._parts.append(part)
        self._selector.register(_output(part), selectors.EVENT_READ, part)

    def _environment(self) -> dict[str, str]:
        """Links in mail must lead to the port that was chosen, unless somebody has said otherwise."""
        chosen = {"PYTHONUNBUFFERED": "1", "DJANGO_RUNSERVER_HIDE_WARNING": "true"}
        return {"BASE_URL": f"http://{HOST}:{self._port}", **os.environ, **chosen}

    def _watch(self) -> int:
        while not self._stopping:
            self._pass_on(LOOK_SECONDS)
            for part in self._parts:
                if part.process.poll() is not None:
                    self._pass_on(0)
                    self._tell(f"{part.name} ended with status {part.process.returncode}: stopping the rest")
                    return 1
            self._greet()
        return 0

    def _greet(self) -> None:
        """Once, as soon as the web server listens."""
        if self._greeted:
            return
        with socket.socket() as probe:
            probe.settimeout(LOOK_SECONDS)
            self._greeted = probe.connect_ex((HOST, self._port)) == 0
        if self._greeted:
            for line in self._greeting(f"http://{HOST}:{self._port}"):
                self._tell(line)

    def _pass_on(self, wait: float) -> None:
        for key, _ in self._selector.select(wait):
            part: Part = key.data
            data = os.read(key.fd, READ_BYTES)
            if not data:
                self._selector.unregister(key.fileobj)
            # The last words of a program may lack the end of their line.
            for line in part.lines(data or b"\n" * bool(part.rest)):
                if line.strip():
                    self._tell(f"{part.name:<6} | {line}")

    def _end(self) -> None:
        """Ask every part, wait with a bound, then use force."""
        for part in self._parts:
            with suppress(ProcessLookupError):
                part.process.terminate()
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and any(part.process.poll() is None for part in self._parts):
            self._pass_on(LOOK_SECONDS)
        for part in self._parts:
            with suppress(ProcessLookupError):
                os.killpg(part.process.pid, signal.SIGKILL)
            part.process.wait()
            _output(part).close()
        self._selector.close()
        self._tell("stopped")


def refuse_taken_port(port: int) -> None:
    """Raise PortTaken when nobody could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortTaken(f"Port {port} cannot be used: {error.strerror}.") from error


def _output(part: Part) -> IO[bytes]:
    output: Any = part.process.stdout
    return output  # type: ignore[no-any-return]
