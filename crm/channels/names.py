"""Looking names up: what a domain says of its mail. Needs dnspython, and a name server that answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

SECONDS: Final = 5.0


class NoAnswer(Exception):
    """No name server answered; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Names:
    """One resolver: that of the system, or the given `host:port`."""

    server: str = ""

    def texts(self, name: str) -> list[str]:
        """TXT records, their parts joined; none when there are none. Raises NoAnswer."""
        return self._ask(name, "TXT", lambda row: b"".join(row.strings).decode("utf-8", errors="replace"))

    def mail_servers(self, name: str) -> list[str]:
        """Hosts that take mail for a domain."""
        return self._ask(name, "MX", lambda row: str(row.exchange).rstrip("."))

    def addresses(self, name: str) -> list[str]:
        """IPv4 and IPv6 addresses of a host."""
        return [*self._ask(name, "A", str), *self._ask(name, "AAAA", str)]

    def hosts(self, address: str) -> list[str]:
        """Names of an address (PTR)."""
        from dns.reversename import from_address

        return self._ask(str(from_address(address)), "PTR", lambda row: str(row.target).rstrip(".").lower())

    def _ask(self, name: str, kind: str, read: Callable[[Any], str]) -> list[str]:
        from dns import exception, resolver

        try:
            rows: Sequence[Any] = list(self._resolver().resolve(name, kind, lifetime=SECONDS))
        except (resolver.NXDOMAIN, resolver.NoAnswer):
            return []
        except (exception.DNSException, OSError, ValueError) as error:
            raise NoAnswer(f"{kind} of {name}: {type(error).__name__}") from None
        return [read(row) for row in rows]

    def _resolver(self) -> Any:
        from dns.resolver import Resolver

        if not self.server:
            return Resolver()
        host, _, port = self.server.rpartition(":")
        found = Resolver(configure=False)
        found.nameservers, found.port = [host], int(port)
        return found


def can_look_up() -> bool:
    """True when dnspython is installed."""
    try:
        import dns.resolver  # noqa: F401
    except ImportError:
        return False
    return True
