"""The only way out by HTTP: one request to a checked address, within a total time and a size, without redirects."""

import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from io import BufferedReader, RawIOBase
from typing import Any, Final, cast

from crm.channels.addresses import Allowed, may_reach, parse_allow
from crm.channels.base import Code, Delivered, DeliveryResult, Refused, Unknown
from crm.channels.calls import BadRequest, Target, check_headers, check_method, parse_url
from crm.faults import point, register

__all__ = ["HttpAnswer", "HttpFailure", "HttpPolicy", "parse_allow", "request"]

USER_AGENT: Final = "self-running-crm/1"
LONGEST_WAIT: Final = 24 * 3600.0
SHOWN: Final = 64 * 1024

register("before_http", "a connection stands, nothing of the request was sent")
register("after_http", "the receiver has answered, nobody has read the answer")

Resolver = Callable[[str, int], Sequence[str]]
# Resolvers have time limits of their own that nobody can shorten, so they wait in threads.
_resolvers = ThreadPoolExecutor(max_workers=16, thread_name_prefix="resolve")


def _resolve(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """Limits of one call: seconds in all and for one read, bytes of the answer, ports, private targets."""

    total_seconds: float = 20.0
    io_seconds: float = 5.0
    max_bytes: int = 256 * 1024
    ports: tuple[int, ...] = (80, 443)
    allow: tuple[Allowed, ...] = ()
    resolver: Resolver = _resolve
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What the receiver said. Cookies and other headers are not kept."""

    status: int
    body: bytes
    content_type: str = ""
    retry_after: float | None = None

    def to_result(self) -> DeliveryResult:
        """2xx is success; 408, 429 and 5xx are worth another try, everything else is not."""
        if 200 <= self.status < 300:
            return Delivered(reference="", detail={"status": self.status, "body": self.shown()})
        if 300 <= self.status < 400:
            sentence = f"The receiver answered {self.status}: redirects are not followed."
            return Refused(code="http_4xx", detail=sentence, permanent=True)
        code, permanent = _meaning(self.status)
        detail = f"The receiver answered {self.status}."
        return Refused(code=code, detail=detail, permanent=permanent, retry_after=self.retry_after)

    def shown(self) -> Any:
        """The answer as later steps read it: JSON where it is JSON, else text, bounded."""
        text = self.body[:SHOWN].decode("utf-8", errors="replace")
        if len(self.body) <= SHOWN and "json" in self.content_type:
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                return text
        return text


def _meaning(status: int) -> tuple[Code, bool]:
    if status == 429:
        return "http_429", False
    if status == 408:
        return "timeout", False
    return ("http_5xx", False) if status >= 500 else ("http_4xx", True)


class HttpFailure(Exception):
    """No usable answer. `sent` says that the request may have arrived."""

    def __init__(self, *, code: str, detail: str, sent: bool) -> None:
        super().__init__(detail)
        self.code, self.detail, self.sent = code, detail, sent

    def to_result(self) -> DeliveryResult:
        if self.sent and self.code in ("timeout", "connection"):
            return Unknown(detail=self.detail)
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
    """Bytes of a socket; each read may take what is left of the deadline, so slow drips end."""

    def __init__(self, sock: socket.socket, clock: _Clock) -> None:
        self._sock, self._clock = sock, clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._clock.left())
        return self._sock.recv_into(buffer)


class _Source:
    """What HTTPResponse asks of a socket."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def makefile(self, *args: Any, **kwargs: Any) -> BufferedReader:
        return BufferedReader(self._reader)


def request(*, method: str, url: str, headers: Mapping[str, str], body: bytes | None, policy: HttpPolicy) -> HttpAnswer:
    """Make one call; raises HttpFailure when no usable answer came."""
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
        found = list(_resolvers.submit(policy.resolver, target.host, target.port).result(timeout=clock.left()))
    except (StillWaiting, TimeoutError):
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
        context = policy.tls or ssl.create_default_context()
        tls = context.wrap_socket(sock, server_hostname=target.host, do_handshake_on_connect=False)
        sock = tls
        tls.settimeout(clock.left())
        tls.do_handshake()
    except BaseException:
        sock.close()
        raise
    return tls


def _exchange(sock: socket.socket, data: bytes, method: str, policy: HttpPolicy, clock: _Clock) -> HttpAnswer:
    try:
        sock.settimeout(clock.left())
        sock.sendall(data)
        response = HTTPResponse(cast(socket.socket, _Source(_Reader(sock, clock))), method=method)
        response.begin()
        return _read(response, policy)
    except TimeoutError:
        sentence = f"No complete answer within {policy.total_seconds:g} seconds."
        raise HttpFailure(code="timeout", detail=sentence, sent=True) from None
    except (OSError, HTTPException, ValueError) as error:
        sentence = f"The connection broke before the answer was complete: {type(error).__name__}."
        raise HttpFailure(code="connection", detail=sentence, sent=True) from None


def _read(response: HTTPResponse, policy: HttpPolicy) -> HttpAnswer:
    """The answer, without ever holding more of it than the policy allows."""
    encoding = (response.getheader("content-encoding") or "identity").strip().lower()
    if encoding != "identity":
        raise HttpFailure(code="validation", detail="The answer is compressed, which was not asked for.", sent=True)
    body = response.read(policy.max_bytes + 1)
    if len(body) > policy.max_bytes:
        raise HttpFailure(code="validation", detail=f"The answer is larger than {policy.max_bytes} bytes.", sent=True)
    return HttpAnswer(
        status=response.status,
        body=body,
        content_type=(response.getheader("content-type") or "").lower(),
        retry_after=_wait(response.getheader("retry-after")),
    )


def _wait(text: str | None) -> float | None:
    """Seconds a receiver asks us to wait, never more than a day."""
    if not text:
        return None
    try:
        seconds = float(int(text))
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT)
