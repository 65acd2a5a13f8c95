"""Which network addresses an outgoing call may reach: public ones, and private ones somebody allowed by name."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

# What is not somebody else's public server. `ipaddress.is_global` alone lets some of these through.
_DENIED_4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
    )
)  # fmt: skip
# Global unicast only, which leaves out mapped, translated, unique local, link-local and multicast addresses.
_GLOBAL_6: Final = IPv6Network("2000::/3")
_DENIED_6: Final = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))


@dataclass(frozen=True, slots=True)
class Allowed:
    """One private target: a network and a port."""

    network: IPv4Network | IPv6Network
    port: int


def parse_allow(text: str) -> tuple[Allowed, ...]:
    """Read `10.1.2.0/24:8443, fd00::/8:443`; raises ValueError with a sentence."""
    return tuple(_one(item.strip()) for item in text.split(",") if item.strip())


def _one(item: str) -> Allowed:
    network, _, port = item.rpartition(":")
    try:
        number = int(port)
        found = ip_network(network.strip("[]"))
    except ValueError as error:
        raise ValueError(f"{item!r} is not of the form network:port, such as 10.1.2.0/24:8443 ({error}).") from None
    if not 0 < number < 65536:
        raise ValueError(f"{item!r}: the port must be between 1 and 65535.")
    return Allowed(found, number)


def may_reach(address: str, port: int, *, ports: tuple[int, ...], allow: tuple[Allowed, ...]) -> bool:
    """True for a public address on a common port, or a target of the allow-list."""
    found = ip_address(address.split("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    if any(entry.port == port and found in entry.network for entry in allow):
        return True
    if port not in ports:
        return False
    if isinstance(found, IPv6Address):
        return found in _GLOBAL_6 and not any(found in network for network in _DENIED_6)
    return not any(found in network for network in _DENIED_4)
