"""A PostgreSQL server of our own, which may be stopped, starved and cut off without harm to anybody."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg

from tests.sinks.smtp import free_port

SETTINGS: Final = ("shared_buffers=64MB", "max_connections=60", "checkpoint_timeout=30s", "fsync=on")


def binaries() -> Path | None:
    """Where the server's programs are; None when it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    if found:
        return found[0].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


class Server:
    """One server with one database, in a folder that belongs to it."""

    def __init__(self, folder: Path, *, address: str = "127.0.0.1", namespace: str = "") -> None:
        self.folder, self.address, self.port = folder, address, free_port()
        self._prefix = ["ip", "netns", "exec", namespace] if namespace else []
        programs = binaries()
        assert programs is not None, "PostgreSQL is not installed"
        self._programs = programs
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            # The server refuses to run as root.
            shutil.chown(folder, "postgres", "postgres")
        self._run("initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "--no-sync")
        with (folder / "data" / "pg_hba.conf").open("a") as file:
            file.write("host all all 0.0.0.0/0 trust\n")
        self.start()
        self.sql("CREATE DATABASE crm", database="postgres")

    @property
    def url(self) -> str:
        return f"postgres://postgres@{self.address}:{self.port}/crm"

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        options = " ".join(f"-c {setting}" for setting in (*SETTINGS, "listen_addresses=*"))
        options += f" -p {self.port} -k {self.folder}"
        log = str(self.folder / "server.log")
        self._run("pg_ctl", "-D", self._data, "-l", log, "-w", "-t", "60", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is as good as pulling the plug: nothing is written, connections break."""
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop", check=False)

    def end_clients(self) -> None:
        """Kill every program that was started for this server: an orphan of a killed cluster would wait for ever."""
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if f":{self.port}/crm".encode() in environment.read_bytes():
                    os.kill(int(environment.parent.name), signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def answers(self, *, within: float = 60.0) -> None:
        """Wait until it takes connections, as after a recovery."""
        until = time.monotonic() + within
        while True:
            try:
                self.sql("SELECT 1")
            except psycopg.Error:
                assert time.monotonic() < until, "the server does not come back"
                time.sleep(0.2)
            else:
                return

    def sql(self, statement: str, *, database: str = "crm") -> list[tuple[object, ...]]:
        """Asked through the socket in its folder, so also when its network is cut."""
        with psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname=database, autocommit=True, connect_timeout=5
        ) as connection:
            cursor = connection.execute(statement.encode())
            return list(cursor.fetchall()) if cursor.description else []

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        command: Sequence[str] = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(
            [*self._prefix, *command], check=check, cwd="/", timeout=120,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
