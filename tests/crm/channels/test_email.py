"""Messages as values, and one connection that knows what was handed over."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from crm.channels.base import Delivered, DeliveryResult, Refused, Unknown
from crm.channels.email import EmailContent, InvalidMessage, Mailer, build, html_to_text, valid_address
from crm.channels.smtp import wire_bytes
from crm.message_ids import is_ours, message_id
from tests.sinks.smtp import SmtpSink, free_port


@pytest.fixture(params=[True, False], ids=["pipelining", "one by one"])
def sink(tmp_path: Path, settings: Settings, request: pytest.FixtureRequest) -> Iterator[SmtpSink]:
    with SmtpSink(tmp_path / "mail.jsonl") as made:
        made.pipelining = request.param
        settings.EMAIL_BACKEND = "crm.channels.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", made.port, 0.5
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        yield made


def mail(number: int = 0, **more: Any) -> EmailMessage:
    values: dict[str, Any] = {"to": f"c{number}@example.org", "subject": "Hi", "text": "Hello", **more}
    return build(EmailContent(**values))


def deliver(*mails: EmailMessage) -> list[DeliveryResult]:
    mailer = Mailer()
    refused = mailer.open()
    if refused is not None:
        return [refused]
    results = list(mailer.deliver(mails))
    mailer.close()
    return results


def test_one_connection_carries_many(sink: SmtpSink) -> None:
    results = deliver(*(mail(number) for number in range(20)))
    assert all(isinstance(result, Delivered) for result in results)
    assert (len(sink.recipients()), sink.connections) == (20, 1)


@pytest.mark.parametrize("behavior", ["drop_after_dot", "hang_after_dot", "drop_in_data"])
def test_once_handed_over_a_lost_answer_is_unknown(sink: SmtpSink, behavior: str) -> None:
    sink.behavior = behavior
    (result,) = deliver(mail())
    assert isinstance(result, Unknown)
    assert len(sink.recipients()) == (0 if behavior == "drop_in_data" else 1)


@pytest.mark.parametrize(
    ("behavior", "code", "permanent"),
    [("greylist", "smtp_4xx", False), ("reject_data", "smtp_5xx", True), ("greeting_421", "connection", False)],
)
def test_a_no_is_a_no(sink: SmtpSink, behavior: str, code: str, permanent: bool) -> None:
    sink.behavior = behavior
    (result,) = deliver(mail())
    assert isinstance(result, Refused) and (result.code, result.permanent) == (code, permanent)
    assert not sink.recipients()


def test_wrong_passwords_and_silent_ports_are_definite(sink: SmtpSink, settings: Settings) -> None:
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "ann", "wrong"
    sink.behavior = "refuse_auth"
    assert isinstance(deliver(mail())[0], Refused)
    settings.EMAIL_PORT = free_port()
    assert isinstance(deliver(mail())[0], Refused)


def test_after_a_no_the_same_connection_goes_on(sink: SmtpSink) -> None:
    sink.unknown = {"c1@example.org"}
    results = deliver(mail(0), mail(1), mail(2))
    assert [type(result) for result in results] == [Delivered, Refused, Delivered]
    assert sink.connections == 1


def test_a_text_that_a_server_asks_for_without_a_recipient_is_never_begun(sink: SmtpSink) -> None:
    sink.behavior, sink.unknown = "careless", {"c0@example.org"}
    refused, delivered = deliver(mail(0), mail(1))
    assert isinstance(refused, Refused) and refused.code == "smtp_5xx" and refused.gone
    assert isinstance(delivered, Delivered) and sink.recipients() == ["c1@example.org"]


def test_a_login_that_fails_in_between_carries_no_message(sink: SmtpSink, settings: Settings) -> None:
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "ann", "right"
    mailer = Mailer()
    assert mailer.open() is None
    results = []
    for number, behavior in enumerate(["drop_after_dot", "refuse_auth", "refuse_auth", "accept"]):
        sink.behavior = behavior
        results.append(next(mailer.deliver([mail(number)])))
    mailer.close()
    assert [type(result) for result in results] == [Unknown, Refused, Refused, Delivered]
    assert sink.recipients() == ["c0@example.org", "c3@example.org"]
    assert sink.connections == 4


def test_a_server_that_closes_with_a_word_has_said_no(sink: SmtpSink) -> None:
    """421 may come at any time; what was begun is not accepted, and the next message opens a new connection."""
    mailer = Mailer()
    assert mailer.open() is None
    sink.behavior = "close_421"
    first = next(mailer.deliver([mail(0)]))
    sink.behavior = "accept"
    second = next(mailer.deliver([mail(1)]))
    mailer.close()
    assert isinstance(first, Refused) and (first.code, first.permanent) == ("smtp_4xx", False)
    assert isinstance(second, Delivered) and sink.recipients() == ["c1@example.org"]


def test_a_sender_that_is_refused_is_a_no_with_the_words_of_the_server(sink: SmtpSink) -> None:
    sink.behavior = "reject_sender"
    (result,) = deliver(mail())
    assert result == Refused(code="smtp_5xx", detail="550 not from you here, nor from anybody else", permanent=True)


def test_an_answer_nobody_understands_after_the_text_is_unknown(sink: SmtpSink) -> None:
    sink.behavior = "babble"
    assert isinstance(deliver(mail())[0], Unknown)


def test_after_a_lost_answer_a_new_connection_goes_on(sink: SmtpSink) -> None:
    mailer = Mailer()
    assert mailer.open() is None
    sink.behavior = "drop_after_dot"
    first = next(mailer.deliver([mail(0)]))
    sink.behavior = "accept"
    second = next(mailer.deliver([mail(1)]))
    mailer.close()
    assert isinstance(first, Unknown) and isinstance(second, Delivered)


@pytest.mark.parametrize(
    "subject", ["Hi", "x" * 66, "x" * 67, "x" * 70, "word " * 20, "Grüße", "a  b", "trail ", "=?utf-8?q?x?="]
)
@pytest.mark.parametrize("html", ["", "<p>Haus\r.\r</p>", f"<p>Häuser {'y' * 2_000}</p>"])
@pytest.mark.parametrize(
    "more",
    [
        {}, {"text": "Hällo\x0b\x1c\r\n\u2028."}, {"text": "ä" * 500}, {"reply_to": "Desk <desk@example.org>"},
        {"unsubscribe_url": f"https://crm.example.org/u/{'a' * 40}"},
        {"unsubscribe_url": f"https://crm.example.org/u/{'a' * 200}"}, {"headers": {"X-Long": "z " * 60}},
        {"from_email": "Jö <jo@example.org>", "attachments": [("a.txt", "ä\nb".encode(), "text/plain")]},
    ],
)  # fmt: skip
def test_what_is_handed_over_is_what_djangos_own_backend_would_send(
    subject: str, html: str, more: dict[str, Any]
) -> None:
    values = {"from_email": "Jo <jo@example.org>", "text": "Hello\n.\nFrom here\n", **more}
    content = EmailContent(
        to="ann@example.org", subject=subject, html=html, message_id="<run-1.1.0@example.org>", **values
    )
    built = build(content)
    built.extra_headers["Date"] = "Thu, 1 Jan 2026 00:00:00 -0000"
    boundary = re.compile(rb"={15}[0-9]+==")
    theirs: Any = built.message()
    assert boundary.sub(b"", wire_bytes(built)) == boundary.sub(b"", theirs.as_bytes(linesep="\r\n"))


def test_a_lost_goodbye_changes_nothing(sink: SmtpSink) -> None:
    sink.behavior = "drop_at_quit"
    assert isinstance(deliver(mail())[0], Delivered)


@pytest.mark.parametrize(
    "more",
    [
        {"subject": "Hi\r\nBcc: x@example.org"}, {"to": "a@example.org\nBcc: x@example.org"},
        {"to": "a@x.org, b@x.org"},
        {"from_email": "Ann\r\nBcc: x <a@example.org>"}, {"reply_to": "a@example.org\nX: y"}, {"to": ""},
        {"headers": {"X-A": "b\nBcc: x@example.org"}}, {"headers": {"X-A\nBcc": "x@example.org"}},
        {"headers": {"Bcc": "x@example.org"}}, {"headers": {"To": "x@example.org"}}, {"subject": "x" * 1_000},
        {"attachments": [("a\nb.txt", b"", "text/plain")]}, {"unsubscribe_url": "https://x/\nBcc: y"},
        {"attachments": [("a.txt", b"", "text/plain\nBcc: y")]}, {"attachments": [("a.txt", b"", "nonsense")]},
        {"attachments": [("a.txt", b"", "multipart/mixed")]}, {"attachments": [("a.txt", b"", "text/plain")] * 21},
        {"unsubscribe_url": "https://x/>, <mailto:y@example.org"}, {"message_id": "<a@b>\r\nBcc: y"},
        {"to": '"a\x0bBcc:x@example.org"@example.org'}, {"to": '"a\x1cb"@example.org'}, {"to": "a@b.org\x85"},
        {"from_email": "Ann\x0b <a@example.org>"}, {"subject": "Hi\u2028there"}, {"subject": "Hi\x85there"},
        {"from_email": "a@example.org, b@example.org"}, {"reply_to": "a@example.org, b@example.org"},
        {"from_email": "nobody"}, {"headers": {"Sender": "x@example.org"}}, {"headers": {"": "x"}},
        {"headers": {"X-A: y\r\nBcc": "x@example.org"}}, {"headers": {"Message-ID": "<other@example.org>"}},
        {"subject": "half \ud800"}, {"text": "half \ud800"}, {"text": "", "html": "<p>\ud800"},
    ],
)  # fmt: skip
def test_no_part_of_a_message_can_add_a_header_or_a_person(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage):
        mail(**more)


def test_headers_hold_whatever_people_write_into_names_and_subjects(sink: SmtpSink) -> None:
    deliver(mail(subject="Grüße: 你好", from_email='"Ä, Ö" <ann@bücher.example>', reply_to="desk@bücher.example"))
    (received,) = sink.messages()
    assert received["Subject"] == "Grüße: 你好"
    assert received["From"] == '"Ä, Ö" <ann@xn--bcher-kva.example>'
    assert received["Reply-To"] == "desk@xn--bcher-kva.example"
    assert sink.receipts.all()[0]["sender"] == "ann@xn--bcher-kva.example"


def test_a_text_cannot_end_itself_and_begin_another_message(sink: SmtpSink) -> None:
    text = "one\r\n.\r\nMAIL FROM:<x@example.org>\r\nRCPT TO:<y@example.org>\r\nDATA\r\ntwo\n.\nthree\r.\rfour\n.."
    deliver(mail(text=text))
    (received,) = sink.messages()
    assert sink.recipients() == ["c0@example.org"]
    part = received.get_body(["plain"])
    assert part is not None
    assert part.get_content().split() == text.split()


def test_a_message_has_its_parts(sink: SmtpSink) -> None:
    deliver(
        mail(
            html="<p>Hello</p>", reply_to="Desk <desk@example.org>", message_id="<run-1.2.0@example.org>",
            attachments=[("Grüße.txt", "Hällo".encode(), "text/plain")], unsubscribe_url="https://crm.example.org/u/abc/",
            headers={"X-Campaign": "spring"},
        )
    )  # fmt: skip
    (received,) = sink.messages()
    assert received["Message-ID"] == "<run-1.2.0@example.org>"
    assert received["List-Unsubscribe"].strip() == "<https://crm.example.org/u/abc/>"
    assert [part.get_filename() for part in received.iter_attachments()] == ["Grüße.txt"]
    assert {part.get_content_type() for part in received.walk()} >= {"text/plain", "text/html"}


def test_html_alone_is_sent_with_a_text_part(sink: SmtpSink) -> None:
    deliver(mail(text="", html="<head><style>p {}</style></head><p>Only <b>HTML</b></p>"))
    part = sink.messages()[0].get_body(["plain"])
    assert part is not None and part.get_content().strip() == "Only HTML"


def test_a_message_that_can_be_left_says_how_in_one_click() -> None:
    headers = mail(unsubscribe_url="https://crm.example.org/u/abc/").extra_headers
    assert headers["List-Unsubscribe"] == "<https://crm.example.org/u/abc/>"
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert not {"List-Unsubscribe", "List-Unsubscribe-Post"} & set(mail().extra_headers)


def test_the_same_visit_has_the_same_id() -> None:
    assert message_id(run_id=5, seq=2, n=0, domain="x.org") == message_id(run_id=5, seq=2, n=0, domain="x.org")
    assert message_id(run_id=5, seq=3, n=0, domain="x.org") != message_id(run_id=5, seq=2, n=0, domain="x.org")


def test_an_id_is_known_for_ours_while_its_key_is_kept(settings: Settings) -> None:
    made = message_id(run_id=5, seq=-2, n=0, domain="x.org")
    assert is_ours(made) and not is_ours(made.replace("run-5", "run-6")) and not is_ours("<run-5.2.0@x.org>")
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another-key"
    assert is_ours(made)
    settings.SECRET_KEY_FALLBACKS = []
    assert not is_ours(made)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello <b>Ann</b></p><p>Bye</p>", "Hello Ann\n\nBye"),
        ("<style>p{}</style><script>x()</script>Only this", "Only this"),
        ('<a href="https://x.org">Here</a> &amp; there', "Here (https://x.org) & there"),
        ("", ""),
        ("<html><head><style>p{}</style><body><p>No end of head", "No end of head"),
        ("<html><head><title>T</title></head><body>A<br>B<ul><li>C</li></ul></body></html>", "A\nB\n\nC"),
        ("<p>&lt;b&gt; &nbsp;x\n   y</p>", "<b> x y"),
        ("<p>unclosed <b>words", "unclosed words"),
        ("<!-- hidden -->shown", "shown"),
        ("<a>no target</a>", "no target"),
    ],
)
def test_html_becomes_readable_text(html: str, text: str) -> None:
    assert html_to_text(html) == text


@pytest.mark.parametrize(
    ("address", "valid"), [("a@x.org", True), ("a@x", False), ("Ann <a@x.org>", False), ("a@x.org\n", False)]
)
def test_addresses_are_bare(address: str, valid: bool) -> None:
    assert valid_address(address) is valid


@given(st.text("aZ0-._x", min_size=1, max_size=12), st.sampled_from(["com", "c", "xn--a1", "c-", "-c", "c1", "com."]))
def test_a_plain_domain_is_judged_as_django_judges_it(name: str, top: str) -> None:
    address = f"ann@{name}.{top}"
    try:
        validate_email(address)
    except ValidationError:
        assert not valid_address(address)
    else:
        assert valid_address(address)
