"""Messages as values, and one connection that knows what was handed over."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMessage
from pytest_django import Settings

from crm.channels.base import Delivered, DeliveryResult, Refused, Unknown
from crm.channels.email import EmailContent, InvalidMessage, Mailer, build, html_to_text, message_id, valid_address
from tests.sinks.smtp import SmtpSink, free_port


@pytest.fixture
def sink(tmp_path: Path, settings: Settings) -> Iterator[SmtpSink]:
    with SmtpSink(tmp_path / "mail.jsonl") as made:
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


def test_after_a_lost_answer_a_new_connection_goes_on(sink: SmtpSink) -> None:
    mailer = Mailer()
    assert mailer.open() is None
    sink.behavior = "drop_after_dot"
    first = next(mailer.deliver([mail(0)]))
    sink.behavior = "accept"
    second = next(mailer.deliver([mail(1)]))
    mailer.close()
    assert isinstance(first, Unknown) and isinstance(second, Delivered)


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
    ],
)  # fmt: skip
def test_no_part_of_a_message_can_add_a_header_or_a_person(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage):
        mail(**more)


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


def test_the_same_visit_has_the_same_id() -> None:
    assert message_id(run_id=5, seq=2, n=0, domain="x.org") == message_id(run_id=5, seq=2, n=0, domain="x.org")
    assert message_id(run_id=5, seq=3, n=0, domain="x.org") != message_id(run_id=5, seq=2, n=0, domain="x.org")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello <b>Ann</b></p><p>Bye</p>", "Hello Ann\n\nBye"),
        ("<style>p{}</style><script>x()</script>Only this", "Only this"),
        ('<a href="https://x.org">Here</a> &amp; there', "Here (https://x.org) & there"),
        ("", ""),
    ],
)
def test_html_becomes_readable_text(html: str, text: str) -> None:
    assert html_to_text(html) == text


@pytest.mark.parametrize(
    ("address", "valid"), [("a@x.org", True), ("a@x", False), ("Ann <a@x.org>", False), ("a@x.org\n", False)]
)
def test_addresses_are_bare(address: str, valid: bool) -> None:
    assert valid_address(address) is valid
