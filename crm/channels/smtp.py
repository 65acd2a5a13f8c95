"""Django's SMTP backend, with one addition: it knows whether a message had been handed over when an error came."""

import re
import smtplib
from email._policybase import Compat32
from email.generator import BytesGenerator
from functools import lru_cache
from io import BytesIO
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend as DjangoEmailBackend
from django.core.mail.message import sanitize_address

from crm.channels.base import Delivered, DeliveryResult, Refused, Unknown
from crm.faults import point, register
from crm.logs import CONTROL

# A header of less than 76 characters with its colon and blank is one line for any writer of mail.
SHORT = 75
PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
ENHANCED = re.compile(r"5\.(\d{1,3})\.\d{1,3}\b")

register("in_send", "the mail server has accepted sender and recipient and waits for the text")


class _ShortLines(Compat32):
    """Writes headers like Django does; those that need no folding and no encoding without the long way there."""

    def fold_binary(self, name: str, value: Any) -> bytes:
        if isinstance(value, str) and len(name) + len(value) < SHORT and value.isascii() and value.isprintable():
            return f"{name}: {value}{self.linesep}".encode("ascii")
        return bytes(super().fold_binary(name, value))


_POLICY = _ShortLines(linesep="\r\n")


def wire_bytes(mail: EmailMessage) -> bytes:
    """The message as it is handed over: the same bytes that Django's own backend sends."""
    content = BytesIO()
    BytesGenerator(content, mangle_from_=False, policy=_POLICY).flatten(mail.message())
    return content.getvalue()


class _Marking:
    """Marks the moment from which a lost answer means "perhaps"."""

    handed_over = False
    _in_data = False

    def data(self, msg: Any) -> tuple[int, bytes]:
        self._in_data = True
        try:
            return super().data(msg)  # type: ignore[misc,no-any-return]
        finally:
            self._in_data = False

    def getreply(self) -> tuple[int, bytes]:
        code, text = super().getreply()  # type: ignore[misc]
        if self._in_data and code == 354:
            point("in_send")
            self.handed_over = True
        return code, text


class _SMTP(_Marking, smtplib.SMTP):
    """Plain or STARTTLS."""


class _SMTPOverTLS(_Marking, smtplib.SMTP_SSL):
    """TLS from the first byte."""


class EmailBackend(DjangoEmailBackend):
    """Sends like Django's, and answers for each message through `deliver`."""

    @property
    def connection_class(self) -> Any:
        return _SMTPOverTLS if self.use_ssl else _SMTP

    def deliver(self, mail: EmailMessage) -> DeliveryResult:
        """Hand one message over on the open connection, opening a new one when the last was lost."""
        refused = self._ready()
        if refused is not None:
            return refused
        server: Any = self.connection
        server.handed_over = False
        try:
            self._hand_over(server, mail)
        except Exception as error:  # classified below; what is unknown to us must not count as "not sent"
            return self._classify(server, error)
        return Delivered(reference=str(mail.extra_headers.get("Message-ID", "")))

    def _ready(self) -> Refused | None:
        if self.connection is not None:
            return None
        try:
            self.open()
        except Exception as error:  # nothing has been handed over, whatever it is
            return Refused(code="connection", detail=_shown(error), permanent=False)
        return None

    def _hand_over(self, server: Any, mail: EmailMessage) -> None:
        encoding = mail.encoding or "utf-8"
        sender = _sanitized(mail.from_email, encoding)
        recipients = [_sanitized(address, encoding) for address in mail.recipients()]
        server.sendmail(sender, recipients, wire_bytes(mail))

    def _classify(self, server: Any, error: Exception) -> DeliveryResult:
        answer = _answer_of(error)
        if answer is not None:
            code, text = answer
            self._reset(server)
            if code == 421:
                self._drop()
            return Refused(
                code="smtp_5xx" if code >= 500 else "smtp_4xx",
                detail=f"{code} {text}"[:400],
                permanent=code >= 500,
                gone=isinstance(error, smtplib.SMTPRecipientsRefused) and _no_mailbox(code, text),
            )
        handed_over = bool(server.handed_over)
        self._drop()
        if handed_over:
            return Unknown(detail=_shown(error))
        if isinstance(error, OSError):
            return Refused(code="connection", detail=_shown(error), permanent=False)
        return Refused(code="validation", detail=_shown(error), permanent=True)

    def _reset(self, server: Any) -> None:
        try:
            server.rset()
        except (smtplib.SMTPException, OSError):
            self._drop()

    def _drop(self) -> None:
        """Forget a connection without asking the other side."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def _sanitized(address: str, encoding: str) -> str:
    """The address as the server is to read it; one that is bare and plain is that already."""
    return address if PLAIN_ADDRESS.fullmatch(address) else _encoded(address, encoding)


@lru_cache(maxsize=1_000)
def _encoded(address: str, encoding: str) -> str:
    """A sender is the same for thousands of messages; errors are raised anew each time."""
    return str(sanitize_address(address, encoding))


def _answer_of(error: Exception) -> tuple[int, str] | None:
    """What the server said, when it said something: then it has definitely not accepted the message."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
        return int(code), _text(text)
    if isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 400:
        return error.smtp_code, _text(error.smtp_error)
    return None


def _no_mailbox(code: int, text: str) -> bool:
    """550, 551 and 553 name the mailbox, unless an enhanced status (RFC 3463) says that it is about something else."""
    if code not in (550, 551, 553):
        return False
    enhanced = ENHANCED.match(text)
    return enhanced is None or enhanced[1] == "1"


def _text(answer: Any) -> str:
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)
    return CONTROL.sub(" ", text)


def _shown(error: Exception) -> str:
    return CONTROL.sub(" ", f"{type(error).__name__}: {error}")[:400]
