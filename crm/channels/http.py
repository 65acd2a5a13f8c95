"""The only way out by HTTP: one request to a checked address, within a total time and a size, without redirects."""

import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from http.client import HTTPException, HTTPResponse, IncompleteRead
from io import BufferedReader, RawIOBase
from typing import Any, Final, cast

from crm.channels.addresses import Allowed, may_reach, parse_allow
from crm.channels.answers import HttpAnswer, parse_retry_after
from crm.channels.base import Code, DeliveryResult, Refused, Unknown
from crm.channels.calls import BadRequest, Target, check_headers, check_method, parse_url
from crm.channels.resolver import Resolver, ask_system, lookup
from crm.faults import point, register
from crm.outside import check_open

__all__ = ["HttpAnswer", "HttpFailure", "HttpPolicy", "parse_allow", "request"]

USER_AGENT: Final = "self-running-crm/1"
PIECE: Final = 64 * 1024
# Room for headers and the lengths of chunks, beside the body.
OVERHEAD: Final = 256 * 1024

register("before_http", "a connection stands, nothing of the request was sent")
register("after_http", "the receiver has answered, nobody has read the answer")


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """Limits of one call: seconds in all and for one read, bytes of the answer, ports, private targets."""

    total_seconds: float = 20.0
    io_seconds: float = 5.0
    max_bytes: int = 256 * 1024
    ports: tuple[int, ...] = (80, 443)
    allow: tuple[Allowed, ...] = ()
    resolver: Resolver = ask_system
    tls: ssl.SSLContext | None = None
    # Whether what is said with a refusal is read, too.
    reads_refusals: bool = False


class HttpFailure(Exception):
    """No usable answer. `sent` says that the request may have arrived."""

    def __init__(self, *, code: str, detail: str, sent: bool) -> None:
        super().__init__(detail)
        self.code, self.detail, self.sent = code, detail, sent

    def to_result(self) -> DeliveryResult:
        if self.sent and self.code in ("timeout", "connection"):
            return Unknown(detail=self.detail, code="connection" if self.code == "connection" else "timeout")
        permanent = self.code in ("blocked", "validation")
        return Refused(code=cast(Code, self.code), detail=self.detail, permanent=permanent)


class _Clock:
    """The total deadline, shared out over every single wait."""

    def __init__(self, policy: HttpPolicy) -> None:
        self._end = time.monotonic() + policy.total_seconds
        self._io = policy.io_seconds

    def left(self) -> float:
        """Seconds the next wait may take; raises TimeoutError when none are left."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call took too long")
        return min(left, self._io)


class _Reader(RawIOBase):
    """Bytes of a socket, not too many; each read may take what is left of the deadline, so slow drips end."""

    def __init__(self, sock: socket.socket, clock: _Clock, most: int) -> None:
        self._sock, self._clock, self._left = sock, clock, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._clock.left())
        count = self._sock.recv_into(buffer)
        self._left -= count
        if self._left < 0:
            raise HttpFailure(code="validation", detail="The answer is too large.", sent=True)
        return count


class _Source:
    """What HTTPResponse asks of a socket."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def makefile(self, *args: Any, **kwargs: Any) -> BufferedReader:
        return BufferedReader(self._reader)


def request(*, method: str, url: str, headers: Mapping[str, str], body: bytes | None, policy: HttpPolicy) -> HttpAnswer:
    """Make one call; raises HttpFailure when no usable answer came."""
    check_open()
    try:
        target, verb, extra = parse_url(url), check_method(method), check_headers(headers)
    except BadRequest as error:
        raise HttpFailure(code="validation", detail=str(error), sent=False) from None
    clock = _Clock(policy)
    with _connect(target, policy, clock) as sock:
        point("before_http")
        answer = _exchange(sock, _compose(verb, target, extra, body), verb, policy, clock)
    point("after_http")
    return answer


def _compose(method: str, target: Target, headers: Sequence[tuple[str, str]], body: bytes | None) -> bytes:
    given = {name.lower() for name, _ in headers}
    lines = [f"{method} {target.path} HTTP/1.1", f"Host: {target.authority}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if "user-agent" not in given:
        lines.append(f"User-Agent: {USER_AGENT}")
    if body is not None or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body or b'')}")
    lines += ["Accept-Encoding: identity", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + (body or b"")


def _connect(target: Target, policy: HttpPolicy, clock: _Clock) -> socket.socket:
    """A connection to an address that was checked; raises HttpFailure, with nothing sent."""
    error: OSError | None = None
    for address in _addresses(target, policy, clock):
        try:
            return _open(target, address, policy, clock)
        except TimeoutError as late:
            error = late
        except OSError as refused:
            error = refused
    code = "timeout" if isinstance(error, TimeoutError) else "connection"
    raise HttpFailure(code=code, detail=f"No connection to {target.host}: {error}"[:400], sent=False)


def _addresses(target: Target, policy: HttpPolicy, clock: _Clock) -> Sequence[str]:
    """Resolve once and check every answer: one private answer among public ones refuses the call."""
    try:
        found = lookup(policy.resolver, target.host, target.port, seconds=clock.left())
    except TimeoutError:
        raise HttpFailure(code="timeout", detail=f"{target.host} could not be resolved in time.", sent=False) from None
    except (OSError, UnicodeError):
        raise HttpFailure(code="connection", detail=f"{target.host} has no address.", sent=False) from None
    refused = [a for a in found if not may_reach(a, target.port, ports=policy.ports, allow=policy.allow)]
    if refused or not found:
        sentence = (
            f"{target.host} may not be called on port {target.port}: it is not a public address."
            " An operator can allow it in OUTBOUND_HTTP_ALLOW."
        )
        raise HttpFailure(code="blocked", detail=sentence, sent=False)
    return found


def _open(target: Target, address: str, policy: HttpPolicy, clock: _Clock) -> socket.socket:
    sock = socket.create_connection((address, target.port), timeout=clock.left())
    try:
        if not may_reach(str(sock.getpeername()[0]), target.port, ports=policy.ports, allow=policy.allow):
            raise HttpFailure(code="blocked", detail=f"{target.host} led to a private address.", sent=False)
        if not target.tls:
            return sock
        context = policy.tls or _verifying()
        tls = context.wrap_socket(sock, server_hostname=target.host, do_handshake_on_connect=False)
        sock = tls
        tls.settimeout(clock.left())
        tls.do_handshake()
    except BaseException:
        sock.close()
        raise
    return tls


@cache
def _verifying() -> ssl.SSLContext:
    """Certificates and names are always checked; reading the authorities of the system takes its time, once."""
    return ssl.create_default_context()


def _exchange(sock: socket.socket, data: bytes, method: str, policy: HttpPolicy, clock: _Clock) -> HttpAnswer:
    try:
        for start in range(0, len(data), PIECE):
            sock.settimeout(clock.left())
            sock.sendall(data[start : start + PIECE])
        source = _Source(_Reader(sock, clock, policy.max_bytes + OVERHEAD))
        response = HTTPResponse(cast(socket.socket, source), method=method)
        response.begin()
        return _read(response, policy)
    except TimeoutError:
        sentence = f"No complete answer within {policy.total_seconds:g} seconds."
        raise HttpFailure(code="timeout", detail=sentence, sent=True) from None
    except (OSError, HTTPException, ValueError) as error:
        sentence = f"The connection broke before the answer was complete: {type(error).__name__}."
        raise HttpFailure(code="connection", detail=sentence, sent=True) from None


def _read(response: HTTPResponse, policy: HttpPolicy) -> HttpAnswer:
    """The answer. That it is a no is known from its head, whatever follows."""
    answer = HttpAnswer(
        status=response.status,
        content_type=(response.getheader("content-type") or "").lower(),
        retry_after=parse_retry_after(response.getheader("retry-after")),
    )
    if answer.accepted:
        return replace(answer, body=_body(response, policy))
    return replace(answer, body=_words_of_refusal(response, policy)) if policy.reads_refusals else answer


def _words_of_refusal(response: HTTPResponse, policy: HttpPolicy) -> bytes:
    """What is said with a no, as far as it arrives: it stays a no without."""
    try:
        return _body(response, policy)
    except (HttpFailure, OSError, HTTPException, ValueError):
        return b""


def _body(response: HTTPResponse, policy: HttpPolicy) -> bytes:
    """The whole body, without ever holding more of it than the policy allows."""
    encoding = (response.getheader("content-encoding") or "identity").strip().lower()
    if encoding != "identity":
        raise HttpFailure(code="validation", detail="The answer is compressed, which was not asked for.", sent=True)
    body = response.read(policy.max_bytes + 1)
    if len(body) > policy.max_bytes:
        raise HttpFailure(code="validation", detail=f"The answer is larger than {policy.max_bytes} bytes.", sent=True)
    if response.length:
        raise IncompleteRead(body, response.length)
    return body
