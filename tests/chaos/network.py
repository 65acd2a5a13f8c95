"""Machines of their own on one machine: network namespaces with a cable to the database and one to the mail server."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

NET: Final = "10.213"


def possible() -> bool:
    """Namespaces are for root, with the programs of iproute2."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


@dataclass(frozen=True, slots=True)
class Machine:
    """A network namespace; `database` and `mail` are the addresses it reaches the outside by."""

    name: str
    number: int

    @property
    def database(self) -> str:
        return f"{NET}.{self.number}.1"

    @property
    def mail(self) -> str:
        return f"{NET}.{self.number + 100}.1"

    @property
    def prefix(self) -> tuple[str, ...]:
        """What runs a command on this machine, under a host name of its own."""
        return ("ip", "netns", "exec", self.name, "unshare", "--uts", "sh", "-c",
                f'hostname {self.name}; exec "$@"', "sh")  # fmt: skip

    def cut(self) -> None:
        """Pull the cable to the database; the one to the mail server stays."""
        _ip("link", "set", self._cable(self.number), "down")

    def plug_in(self) -> None:
        _ip("link", "set", self._cable(self.number), "up")

    def build(self) -> None:
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")
        for number in (self.number, self.number + 100):
            cable = self._cable(number)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "far", "netns", self.name)
            _ip("-n", self.name, "link", "set", "far", "name", f"eth{number}")
            _ip("addr", "add", f"{NET}.{number}.1/24", "dev", cable)
            _ip("link", "set", cable, "up")
            _ip("-n", self.name, "addr", "add", f"{NET}.{number}.2/24", "dev", f"eth{number}")
            _ip("-n", self.name, "link", "set", f"eth{number}", "up")

    def tear_down(self) -> None:
        for number in (self.number, self.number + 100):
            _ip("link", "del", self._cable(number), check=False)
        _ip("netns", "del", self.name, check=False)

    def _cable(self, number: int) -> str:
        return f"crm{number}"


@contextmanager
def machines(*names: str) -> Iterator[tuple[Machine, ...]]:
    """As many machines as names, gone afterwards."""
    made = tuple(Machine(name, number) for number, name in enumerate(names, start=11))
    try:
        for machine in made:
            machine.tear_down()
            machine.build()
        yield made
    finally:
        for machine in made:
            machine.tear_down()


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)
