"""What is read of an answer, what is kept of it, and whether trying again helps."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from crm.channels.answers import SHOWN, HttpAnswer
from crm.channels.base import Delivered, DeliveryResult, Refused, Unknown
from crm.channels.http import HttpFailure, HttpPolicy, parse_allow, request
from tests.sinks.http import Answer, HttpSink


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[HttpSink]:
    with HttpSink(tmp_path / "web.jsonl") as made:
        yield made


def ask(sink: HttpSink, answer: Answer, *, method: str = "POST") -> HttpAnswer:
    sink.script(answer)
    policy = HttpPolicy(total_seconds=2.0, allow=parse_allow(f"127.0.0.0/8:{sink.port}"))
    return request(method=method, url=sink.url, headers={}, body=b"{}", policy=policy)


def outcome(sink: HttpSink, answer: Answer) -> DeliveryResult:
    try:
        return ask(sink, answer).to_result()
    except HttpFailure as failure:
        return failure.to_result()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_everything_of_the_two_hundreds_is_success(sink: HttpSink, status: int) -> None:
    assert isinstance(outcome(sink, Answer(status, body=b"")), Delivered)


@pytest.mark.parametrize(
    ("status", "code", "permanent"),
    [(400, "http_4xx", True), (401, "http_4xx", True), (404, "http_4xx", True), (408, "timeout", False),
     (410, "http_4xx", True), (429, "http_429", False), (500, "http_5xx", False), (503, "http_5xx", False)],
)  # fmt: skip
def test_each_answer_says_whether_trying_again_helps(sink: HttpSink, status: int, code: str, permanent: bool) -> None:
    result = outcome(sink, Answer(status, {"Retry-After": "7"}))
    assert isinstance(result, Refused)
    assert (result.code, result.permanent, result.retry_after) == (code, permanent, 7.0)


@pytest.mark.parametrize("trick", ["large", "gzip", "cut", "drip_body", "endless"])
def test_a_no_stays_a_no_however_it_goes_on(sink: HttpSink, trick: str) -> None:
    result = outcome(sink, Answer(503, {"Retry-After": "60"}, trick=trick))
    assert result == Refused(code="http_5xx", detail="The receiver answered 503.", permanent=False, retry_after=60.0)


def test_three_failures_and_then_a_success(sink: HttpSink) -> None:
    results = [outcome(sink, Answer(status)) for status in (500, 502, 503, 200)]
    assert [type(result) for result in results] == [Refused, Refused, Refused, Delivered]
    assert not any(isinstance(result, Refused) and result.permanent for result in results)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0), ("-5", 0.0), ("120", 120.0), ("99999999", 86400.0), ("9" * 400, 86400.0), ("9" * 5_000, 86400.0),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0), ("Mon, 01 Jan 2001 00:00:00 -0000", 0.0),
        ("Sat, 01 Jan 2200 00:00:00 GMT", 86400.0), ("soon", None), ("1.5", None), ("²", None), ("", None),
        ("Mon, 99 Foo 2001 00:00:00 GMT", None),
    ],
)  # fmt: skip
def test_patience_is_bounded(sink: HttpSink, header: str, seconds: float | None) -> None:
    assert ask(sink, Answer(503, {"Retry-After": header})).retry_after == seconds


def test_patience_may_be_given_as_a_date(sink: HttpSink) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    wait = ask(sink, Answer(503, {"Retry-After": date})).retry_after
    assert wait is not None and 590 < wait <= 600


def test_an_answer_that_ends_too_early_is_no_answer(sink: HttpSink) -> None:
    assert isinstance(outcome(sink, Answer(trick="cut")), Unknown)


def test_an_answer_in_chunks_is_read_whole(sink: HttpSink) -> None:
    assert ask(sink, Answer(trick="chunked")).shown() == {"ok": True}


def test_an_answer_without_a_body_is_an_answer(sink: HttpSink) -> None:
    assert ask(sink, Answer(204, body=b""), method="DELETE").body == b""


def test_only_status_and_body_are_kept(sink: HttpSink) -> None:
    headers = {"Set-Cookie": "session=secret", "X-Internal": "secret"}
    result = outcome(sink, Answer(headers=headers))
    assert result == Delivered(reference="", detail={"status": 200, "body": {"ok": True}})
    assert "secret" not in repr(ask(sink, Answer(headers=headers)))


def test_what_is_shown_of_an_answer_is_bounded(sink: HttpSink) -> None:
    shown = ask(sink, Answer(headers={"Content-Type": "text/plain"}, body=b"x" * 100_000)).shown()
    assert isinstance(shown, str) and len(shown) == SHOWN
    assert len(ask(sink, Answer(body=b"{" + b"x" * 100_000)).shown()) == SHOWN


def test_json_is_read_whole_as_long_as_it_is_taken(sink: HttpSink) -> None:
    products = [{"name": "x" * 100} for _ in range(2_000)]
    assert ask(sink, Answer(body=json.dumps({"products": products}).encode())).shown() == {"products": products}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"a": [1, 2.5, null, "\xc3\xa9"]}', {"a": [1, 2.5, None, "é"]}),
        (b'{"a": NaN}', '{"a": NaN}'),
        (b'{"a": -Infinity}', '{"a": -Infinity}'),
        (b'{"a": 1e999}', '{"a": 1e999}'),
        (b'{"a\\u0000b": "c\\u0000"}', {"a\ufffdb": "c\ufffd"}),
        (b'["\\ud800", "\\ud83d\\ude00"]', ["\ufffd", "\U0001f600"]),
        (b"\x00plain\xff", "\ufffdplain\ufffd"),
        (b"[" * 60 + b"]" * 60, "[" * 60 + "]" * 60),
        (b"[" * 30_000, "[" * 30_000),
        (b"9" * 5_000, "9" * 5_000),
        (b"{not json", "{not json"),
        (b"", ""),
    ],
    ids=["ordinary", "nan", "infinity", "too-large", "nul", "half-character", "bytes", "deep", "deeper", "digits",
         "not-json", "empty"],
)  # fmt: skip
def test_no_answer_is_kept_that_a_database_could_not_hold(sink: HttpSink, body: bytes, shown: Any) -> None:
    assert ask(sink, Answer(body=body)).shown() == shown


def test_text_that_looks_like_json_stays_text_unless_it_says_so(sink: HttpSink) -> None:
    assert ask(sink, Answer(headers={"Content-Type": "text/plain"}, body=b"[1]")).shown() == "[1]"
