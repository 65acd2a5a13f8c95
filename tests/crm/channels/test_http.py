"""The one way out by HTTP: what it never calls, and what nobody can make it wait for."""

import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crm.channels.base import Delivered, Refused, Unknown
from crm.channels.http import HttpAnswer, HttpFailure, HttpPolicy, parse_allow, request
from crm.channels.resolver import LIMIT
from tests.sinks.http import Answer, HttpSink

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


def here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


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
        "javascript:alert(1)", "http://-/", "http://a..b/", "", "http://[v1.abc]/", "http://[fe80::1%25eth0]/",
        "http://[2606:4700::1%25x]/", "http://[::1]x/", "http://x[::1]/", "http://[127.0.0.1]/", "http://host:0/",
        "http://host:+80/", "http://host:８０/", "http://host:80:90/", "http://host/\ud800", "http://host/\x85",
        "http://host/\xa0", f"http://host/{'x' * 4_000}", f"http://{'a' * 64}.example/",
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


@pytest.mark.parametrize("way", ["literal", "name", "mixed"])
def test_nobody_listening_at_a_private_address_ever_hears_of_it(sink: HttpSink, way: str) -> None:
    """The port is in the list, so that only the address stands in the way."""
    host = "127.0.0.1" if way == "literal" else "partner.example"
    answers = ["93.184.216.34", "127.0.0.1"] if way == "mixed" else ["127.0.0.1"]
    error = failure(f"http://{host}:{sink.port}/", ports=(sink.port,), resolver=lambda *_: answers)
    assert error.code == "blocked" and sink.connections == 0


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


def test_a_network_that_leads_a_public_address_inside_hears_nothing_of_the_request(
    sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda _, **more: connect(("127.0.0.1", sink.port), **more))
    error = failure("http://partner.example/", resolver=lambda *_: ["93.184.216.34"])
    assert (error.code, error.sent) == ("blocked", False) and not sink.requests()


def test_a_private_target_is_called_when_an_operator_named_it(sink: HttpSink) -> None:
    assert call(f"{sink.url}/", **near(sink)).to_result() == Delivered(
        reference="", detail={"status": 200, "body": {"ok": True}}
    )
    assert failure(f"{sink.url}/", allow=parse_allow(f"127.0.0.0/8:{sink.port + 1}")).code == "blocked"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(sink: HttpSink, tmp_path: Path, status: int) -> None:
    with HttpSink(tmp_path / "other.jsonl") as other:
        sink.script(Answer(status, {"Location": f"{other.url}/secret"}))
        both = parse_allow(f"127.0.0.0/8:{sink.port},127.0.0.0/8:{other.port}")
        result = call(f"{sink.url}/", allow=both).to_result()
        assert isinstance(result, Refused) and result.permanent and "secret" not in result.detail
        assert (sink.connections, other.connections) == (1, 0)


@pytest.mark.parametrize("trick", ["drip_headers", "drip_body", "silent"])
def test_a_slow_receiver_costs_the_deadline_and_no_more(sink: HttpSink, trick: str) -> None:
    sink.script(Answer(trick=trick))
    began = time.monotonic()
    error = failure(f"{sink.url}/", total_seconds=0.5, **near(sink))
    assert error.code == "timeout" and time.monotonic() - began < 3
    assert isinstance(error.to_result(), Unknown)


def test_a_receiver_that_hardly_reads_costs_the_deadline_and_no_more(sink: HttpSink) -> None:
    sink.tired.set()
    limits = HttpPolicy(total_seconds=0.5, **near(sink))
    began = time.monotonic()
    with pytest.raises(HttpFailure) as caught:
        request(method="POST", url=f"{sink.url}/", headers={}, body=b"x" * 32_000_000, policy=limits)
    assert caught.value.code == "timeout" and time.monotonic() - began < 3


def test_lookups_that_hang_leave_room_for_others_once_they_end() -> None:
    released = threading.Event()

    def hangs(host: str, port: int) -> list[str]:
        released.wait(timeout=10)
        return ["10.0.0.1"]

    for _ in range(LIMIT + 1):
        assert failure("http://partner.example/", total_seconds=0.02, resolver=hangs).code == "timeout"
    released.set()
    assert failure("http://partner.example/", total_seconds=5.0, resolver=hangs).code == "blocked"


@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_process_resolves_although_its_parent_was_asking() -> None:
    released = threading.Event()

    def hangs(host: str, port: int) -> list[str]:
        released.wait(timeout=10)
        return []

    for _ in range(LIMIT):
        failure("http://partner.example/", total_seconds=0.02, resolver=hangs)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            call("http://partner.example/", resolver=lambda *_: ["10.0.0.1"])
        except HttpFailure as error:
            code = 0 if error.code == "blocked" else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    released.set()
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("problem", [OSError("no such name"), UnicodeError("label too long")])
def test_a_name_nobody_knows_may_be_known_later(problem: Exception) -> None:
    def fails(host: str, port: int) -> list[str]:
        raise problem

    result = failure("http://partner.example/", resolver=fails).to_result()
    assert isinstance(result, Refused) and (result.code, result.permanent) == ("connection", False)


def test_a_slow_resolver_costs_the_deadline_and_no_more() -> None:
    def sleeps(host: str, port: int) -> list[str]:
        time.sleep(1)
        return ["93.184.216.34"]

    error = failure("http://partner.example/", total_seconds=0.2, resolver=sleeps)
    assert (error.code, error.sent) == ("timeout", False)


@pytest.mark.parametrize("trick", ["large", "gzip", "endless"])
def test_a_large_or_packed_answer_is_not_taken(sink: HttpSink, trick: str) -> None:
    sink.script(Answer(trick=trick))
    error = failure(f"{sink.url}/", total_seconds=5.0, **near(sink))
    assert error.code == "validation"


def test_a_broken_connection_after_the_request_is_unknown(sink: HttpSink) -> None:
    sink.script(Answer(trick="close"))
    assert isinstance(failure(f"{sink.url}/", **near(sink)).to_result(), Unknown)


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil"}, {"content-length": "5"}, {"Transfer-Encoding": "chunked"}, {"Connection": "keep-alive"},
     {"Proxy-Authorization": "x"}, {"Transfer_Encoding": "chunked"}, {"TE": "trailers"}, {"Expect": "100-continue"},
     {"X-A": "1\x00"}, {"X-A": "x" * 5_000}, {"X-É": "1"}, {f"X-{n}": "1" for n in range(51)},
     {"X-A\r\nX-B": "1"}, {"X-A": "1\r\nX-B: 2"}, {"X A": "1"}, {"": "1"}, {"X-A": "ż"}],
)  # fmt: skip
def test_headers_that_would_change_the_request_are_refused(sink: HttpSink, headers: dict[str, str]) -> None:
    assert failure(f"{sink.url}/", headers=headers, **near(sink)).code == "validation"
    assert not sink.requests()


def test_the_environment_of_the_machine_changes_nothing(
    sink: HttpSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    passwords = tmp_path / "netrc"
    passwords.write_text("machine 127.0.0.1 login ann password secret", "utf-8")
    monkeypatch.setenv("NETRC", str(passwords))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert call(f"{sink.url}/", **near(sink)).status == 200
    assert set(sink.requests()[0]["headers"]) == {
        "Host",
        "User-Agent",
        "Content-Length",
        "Accept-Encoding",
        "Connection",
    }


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of partner.example that no authority signed, with its key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    key, made = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(made),
         "-days", "1", "-subj", "/CN=partner.example", "-addext", "subjectAltName=DNS:partner.example"],
        check=True, capture_output=True,
    )  # fmt: skip
    made.write_text(made.read_text("utf-8") + key.read_text("utf-8"), "utf-8")
    return made


@pytest.fixture
def safe_sink(tmp_path: Path, certificate: Path) -> Iterator[HttpSink]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with HttpSink(tmp_path / "tls.jsonl", tls=context) as made:
        yield made


def test_a_certificate_that_nobody_vouches_for_is_refused(safe_sink: HttpSink) -> None:
    error = failure(f"https://partner.example:{safe_sink.port}/", resolver=here, **near(safe_sink))
    assert (error.code, error.sent) == ("connection", False)
    assert isinstance(error.to_result(), Refused) and not safe_sink.requests()


def test_a_certificate_must_be_that_of_the_name_that_was_called(safe_sink: HttpSink, certificate: Path) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate))
    limits: dict[str, Any] = {"tls": trusted, "resolver": here, **near(safe_sink)}
    assert call(f"https://partner.example:{safe_sink.port}/", **limits).status == 200
    assert failure(f"https://other.example:{safe_sink.port}/", **limits).code == "connection"
    assert failure(f"https://127.0.0.1:{safe_sink.port}/", **limits).code == "connection"
    assert len(safe_sink.requests()) == 1


def test_a_slow_answer_over_tls_costs_the_deadline_and_no_more(safe_sink: HttpSink, certificate: Path) -> None:
    safe_sink.script(Answer(trick="drip_body"))
    trusted = ssl.create_default_context(cafile=str(certificate))
    began = time.monotonic()
    url = f"https://partner.example:{safe_sink.port}/"
    assert failure(url, tls=trusted, total_seconds=0.5, resolver=here, **near(safe_sink)).code == "timeout"
    assert time.monotonic() - began < 3


def test_a_server_that_never_begins_tls_costs_the_deadline_and_no_more(sink: HttpSink) -> None:
    """A server of plain HTTP waits for a line, and says nothing to a greeting of TLS that has none."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        began = time.monotonic()
        error = failure(f"https://127.0.0.1:{port}/", total_seconds=0.4, allow=parse_allow(f"127.0.0.0/8:{port}"))
    assert (error.code, error.sent) == ("timeout", False) and time.monotonic() - began < 3


def test_the_allow_list_is_read_or_refused_with_a_sentence() -> None:
    assert [entry.port for entry in parse_allow("10.1.2.0/24:8443, fd00::/8:443")] == [8443, 443]
    for wrong in ("10.0.0.0/8", "10.0.0.0/8:http", "nonsense:80", "10.0.0.0/8:0"):
        with pytest.raises(ValueError, match=r"network:port|port must be"):
            parse_allow(wrong)
