"""What an outgoing call may look like: its address and its headers, checked as text before anything is resolved."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"})
MAX_URL: Final = 4_000
MAX_HEADERS: Final = 50
MAX_VALUE: Final = 4_000
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\\\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
_BRACKETS = re.compile(r"\[([0-9A-Fa-f:.]+)\](:[0-9]*)?")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
# The client writes these itself; a second copy is how requests are smuggled.
_OWN: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect",
     "accept-encoding", "keep-alive"}
)  # fmt: skip


class BadRequest(ValueError):
    """The call must not be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes."""

    tls: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def parse_url(url: str) -> Target:
    """Read an address; raises BadRequest for everything that readers of addresses disagree about."""
    if len(url) > MAX_URL or _UNSAFE.search(url):
        raise BadRequest("The address is too long or contains spaces, backslashes or control characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadRequest("The address cannot be read.") from None
    if parts.scheme.lower() not in ("http", "https"):
        raise BadRequest("Only http and https addresses can be called.")
    if "@" in parts.netloc:
        raise BadRequest("An address may not contain a user name.")
    if port == 0:
        raise BadRequest("The port must be between 1 and 65535.")
    tls = parts.scheme.lower() == "https"
    return Target(tls, _host(parts), port or (443 if tls else 80), _path(parts))


def host_as_called(name: str) -> str:
    """The name of a host, or an IP address without brackets, as calls spell it; raises BadRequest."""
    return parse_url(f"https://[{name}]/" if ":" in name else f"https://{name}/").host


def _host(parts: SplitResult) -> str:
    if "[" in parts.netloc or "]" in parts.netloc:
        return _literal_6(parts.netloc)
    host = (parts.hostname or "").rstrip(".")
    try:
        return str(IPv4Address(host))
    except ValueError:
        pass
    try:
        host = host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise BadRequest("The host name cannot be read.") from None
    # 0177.1, 0x7f.1 and 2130706433 are loopback to some readers and names to others.
    if not _HOST.fullmatch(host) or _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise BadRequest("The host name is not valid.")
    return host


def _literal_6(netloc: str) -> str:
    found = _BRACKETS.fullmatch(netloc)
    try:
        return str(IPv6Address(found.group(1) if found else ""))
    except ValueError:
        raise BadRequest("The address in brackets is not valid.") from None


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    return f"{path}?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else path


def check_method(method: str) -> str:
    if method.upper() not in METHODS:
        raise BadRequest(f"The method must be one of {', '.join(sorted(METHODS))}.")
    return method.upper()


def check_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Headers one may set; raises BadRequest."""
    if len(headers) > MAX_HEADERS:
        raise BadRequest(f"A call may have at most {MAX_HEADERS} headers.")
    return [_header(str(name), str(value)) for name, value in headers.items()]


def _header(name: str, value: str) -> tuple[str, str]:
    if not _TOKEN.fullmatch(name):
        raise BadRequest("The name of a header contains characters that are not allowed.")
    # Receivers that hand headers on as variables take X_Y for X-Y.
    meant = name.lower().replace("_", "-")
    if meant in _OWN or meant.startswith("proxy-"):
        raise BadRequest(f"The header {name} is written by the system.")
    if _CONTROL.search(value) or len(value) > MAX_VALUE:
        raise BadRequest(f"The value of the header {name} is too long or contains a line break.")
    try:
        value.encode("latin-1")
    except UnicodeError:
        raise BadRequest(f"The value of the header {name} contains characters that headers cannot carry.") from None
    return name, value.strip()
