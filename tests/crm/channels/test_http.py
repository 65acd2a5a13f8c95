"""The one way out by HTTP: what it never calls, and what nobody can make it wait for."""

import ast
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crm.channels.base import Delivered, Refused, Unknown
from crm.channels.http import HttpAnswer, HttpFailure, HttpPolicy, parse_allow, request
from tests.sinks.http import Answer, HttpSink

ROOT = Path(__file__).parents[3]
PRIVATE = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.8.8.8", "169.254.169.254", "172.16.0.1", "172.31.255.255",
    "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "168.63.129.16", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:10::1", "2001:db8::1",
    "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1",
]  # fmt: skip


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[HttpSink]:
    with HttpSink(tmp_path / "web.jsonl") as made:
        yield made


def call(url: str, *, method: str = "POST", headers: dict[str, str] | None = None, **policy: Any) -> HttpAnswer:
    limits: dict[str, Any] = {"total_seconds": 1.0, **policy}
    return request(method=method, url=url, headers=headers or {}, body=b"{}", policy=HttpPolicy(**limits))


def failure(url: str, **more: Any) -> HttpFailure:
    with pytest.raises(HttpFailure) as caught:
        call(url, **more)
    return caught.value


def near(sink: HttpSink) -> dict[str, Any]:
    """A policy that may reach the sink."""
    return {"allow": parse_allow(f"127.0.0.0/8:{sink.port}")}


@pytest.mark.parametrize("address", PRIVATE)
@pytest.mark.parametrize("way", ["literal", "name", "mixed"])
def test_a_private_address_is_not_called_however_it_is_named(address: str, way: str) -> None:
    literal = f"[{address}]" if ":" in address else address
    host = literal if way == "literal" else "partner.example"
    answers = {"literal": [address], "name": [address], "mixed": ["93.184.216.34", address]}[way]
    error = failure(f"http://{host}/", resolver=lambda *_: answers)
    assert (error.code, error.sent) == ("blocked", False)


@pytest.mark.parametrize(
    "url",
    [
        "http://0177.0.0.1/", "http://0x7f.1/", "http://2130706433/", "http://127.1/", "http://①②⑦.⓪.⓪.①/",
        "http://1.2.3/", "http://a b/", "http://a\\b/", "http://a\r\nHost: b/", "http://a\tb/", "http://user@host/",
        "http://user:pw@host/", "ftp://host/", "file:///etc/passwd", "gopher://host/", "//host/", "http:///", "http://host:99999/",
        "javascript:alert(1)", "http://-/", "http://a..b/", "",
    ],
)  # fmt: skip
def test_what_readers_of_addresses_disagree_about_is_refused(url: str) -> None:
    error = failure(url, resolver=lambda *_: ["93.184.216.34"])
    assert (error.code, error.sent) == ("validation", False)
    assert error.to_result() == Refused(code="validation", detail=error.detail, permanent=True)


@pytest.mark.parametrize("host", ["localhost", "localhost.", "LOCALHOST", "[::ffff:7f00:1]"])
def test_this_machine_by_any_name_is_refused(host: str, sink: HttpSink) -> None:
    assert failure(f"http://{host}:{sink.port}/", ports=(sink.port,)).code == "blocked"
    assert not sink.requests()


def test_only_listed_ports_are_called() -> None:
    error = failure("http://partner.example:22/", resolver=lambda *_: ["93.184.216.34"])
    assert error.code == "blocked"


def test_a_name_is_asked_once_and_the_checked_address_is_called(sink: HttpSink) -> None:
    asked: list[str] = []

    def flips(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    answer = call(f"http://partner.example:{sink.port}/hook?a=1", resolver=flips, **near(sink))
    assert answer.status == 200 and asked == ["partner.example"]
    (received,) = sink.requests()
    assert received["headers"]["Host"] == f"partner.example:{sink.port}" and received["path"] == "/hook?a=1"


def test_a_private_target_is_called_when_an_operator_named_it(sink: HttpSink) -> None:
    assert call(f"{sink.url}/", **near(sink)).to_result() == Delivered(
        reference="", detail={"status": 200, "body": {"ok": True}}
    )
    assert failure(f"{sink.url}/", allow=parse_allow(f"127.0.0.0/8:{sink.port + 1}")).code == "blocked"


def test_redirects_are_not_followed(sink: HttpSink) -> None:
    sink.script(Answer(302, {"Location": "http://169.254.169.254/latest/"}))
    result = call(f"{sink.url}/", **near(sink)).to_result()
    assert isinstance(result, Refused) and result.permanent and "169.254" not in result.detail
    assert len(sink.requests()) == 1


@pytest.mark.parametrize("trick", ["drip_headers", "drip_body", "silent"])
def test_a_slow_receiver_costs_the_deadline_and_no_more(sink: HttpSink, trick: str) -> None:
    sink.script(Answer(trick=trick))
    began = time.monotonic()
    error = failure(f"{sink.url}/", total_seconds=0.5, **near(sink))
    assert error.code == "timeout" and time.monotonic() - began < 3
    assert isinstance(error.to_result(), Unknown)


def test_a_slow_resolver_costs_the_deadline_and_no_more() -> None:
    def sleeps(host: str, port: int) -> list[str]:
        time.sleep(1)
        return ["93.184.216.34"]

    error = failure("http://partner.example/", total_seconds=0.2, resolver=sleeps)
    assert (error.code, error.sent) == ("timeout", False)


@pytest.mark.parametrize("trick", ["large", "gzip"])
def test_a_large_or_packed_answer_is_not_taken(sink: HttpSink, trick: str) -> None:
    sink.script(Answer(trick=trick))
    error = failure(f"{sink.url}/", total_seconds=5.0, **near(sink))
    assert error.code == "validation"


def test_a_broken_connection_after_the_request_is_unknown(sink: HttpSink) -> None:
    sink.script(Answer(trick="close"))
    assert isinstance(failure(f"{sink.url}/", **near(sink)).to_result(), Unknown)


@pytest.mark.parametrize(
    ("status", "code", "permanent"),
    [(400, "http_4xx", True), (404, "http_4xx", True), (408, "timeout", False), (410, "http_4xx", True),
     (429, "http_429", False), (500, "http_5xx", False), (503, "http_5xx", False)],
)  # fmt: skip
def test_each_answer_says_whether_trying_again_helps(sink: HttpSink, status: int, code: str, permanent: bool) -> None:
    sink.script(Answer(status, {"Retry-After": "7"}))
    result = call(f"{sink.url}/", **near(sink)).to_result()
    assert isinstance(result, Refused)
    assert (result.code, result.permanent, result.retry_after) == (code, permanent, 7.0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("0", 0.0), ("-5", 0.0), ("99999999", 86400.0), ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0), ("soon", None)],
)
def test_patience_is_bounded(sink: HttpSink, header: str, seconds: float | None) -> None:
    sink.script(Answer(503, {"Retry-After": header}))
    assert call(f"{sink.url}/", **near(sink)).retry_after == seconds


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil"}, {"content-length": "5"}, {"Transfer-Encoding": "chunked"}, {"Connection": "keep-alive"},
     {"Proxy-Authorization": "x"}, {"X-A\r\nX-B": "1"}, {"X-A": "1\r\nX-B: 2"}, {"X A": "1"}, {"": "1"}, {"X-A": "ż"}],
)  # fmt: skip
def test_headers_that_would_change_the_request_are_refused(sink: HttpSink, headers: dict[str, str]) -> None:
    assert failure(f"{sink.url}/", headers=headers, **near(sink)).code == "validation"
    assert not sink.requests()


def test_the_environment_of_the_machine_changes_nothing(sink: HttpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert call(f"{sink.url}/", **near(sink)).status == 200


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate),
         "-days", "1", "-subj", "/CN=partner.example", "-addext", "subjectAltName=DNS:partner.example"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Quiet(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    near_by: dict[str, Any] = {"allow": parse_allow(f"127.0.0.0/8:{port}"), "resolver": lambda *_: ["127.0.0.1"]}
    error = failure(f"https://partner.example:{port}/", **near_by)
    assert (error.code, error.sent) == ("connection", False)
    trusted = ssl.create_default_context(cafile=str(certificate))
    assert call(f"https://partner.example:{port}/", tls=trusted, **near_by).status == 200
    assert failure(f"https://other.example:{port}/", tls=trusted, **near_by).code == "connection"
    server.shutdown()
    server.server_close()


def test_the_allow_list_is_read_or_refused_with_a_sentence() -> None:
    assert [entry.port for entry in parse_allow("10.1.2.0/24:8443, fd00::/8:443")] == [8443, 443]
    for wrong in ("10.0.0.0/8", "10.0.0.0/8:http", "nonsense:80", "10.0.0.0/8:0"):
        with pytest.raises(ValueError, match=r"network:port|port must be"):
            parse_allow(wrong)


def test_nothing_else_in_the_product_calls_out() -> None:
    """Any other client would go around every guard above."""
    clients = {
        "requests",
        "httpx",
        "urllib3",
        "aiohttp",
        "http.client",
        "urllib.request",
        "ftplib",
        "socket",
        "smtplib",
    }
    found = set()
    for app in ("config", "crm", "contacts", "pipelines"):
        for path in (ROOT / app).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
                found |= {(path.relative_to(ROOT).as_posix(), name) for name in names if name in clients}
    outside = {(path, name) for path, name in found if not path.startswith("crm/channels/")}
    assert {name for _, name in outside} <= {"socket"}, outside
    assert {path for path, _ in outside} <= ALLOWED_SOCKETS, outside


# They ask for the machine's name or whether a port is free, and connect to nothing else.
ALLOWED_SOCKETS = {
    "pipelines/engine/workers.py",
    "pipelines/engine/rescue.py",
    "crm/development.py",
    "crm/supervisor.py",
    "crm/beat.py",
}
