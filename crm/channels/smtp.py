"""Django's SMTP backend, which knows whether a message had been handed over when an error came.

To servers that say they can (RFC 2920) it tells sender, recipient and that a text follows in one go.
"""

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
from crm.channels.short_mail import SHORT, short_way
from crm.faults import point, register
from crm.logs import CONTROL

PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_DOT = re.compile(rb"^\.", re.MULTILINE)
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
    short = short_way(mail)
    if short is not None:
        return short
    content = BytesIO()
    BytesGenerator(content, mangle_from_=False, policy=_POLICY).flatten(mail.message())
    return content.getvalue()


class _Marking:
    """Marks the moment from which a lost answer means "perhaps"."""

    handed_over = False
    _in_data = False

    def pipelined(self, sender: str, recipient: str, content: bytes) -> None:
        """Hand a message over with two questions instead of four; raises what `sendmail` raises."""
        server: Any = self
        size = f" size={len(content)}" if server.has_extn("size") else ""
        server.send(f"MAIL FROM:{_bracketed(sender)}{size}\r\nRCPT TO:{_bracketed(recipient)}\r\nDATA\r\n")
        told = server.getreply()
        if told[0] == 421:
            raise smtplib.SMTPSenderRefused(told[0], told[1], sender)
        accepted = server.getreply()
        if accepted[0] == 421:
            raise smtplib.SMTPRecipientsRefused({recipient: accepted})
        go_on = server.getreply()
        if told[0] != 250 or accepted[0] not in (250, 251):
            if go_on[0] == 354:
                # It waits for a text nobody may get: without the final dot there is none.
                server.close()
            if told[0] != 250:
                raise smtplib.SMTPSenderRefused(told[0], told[1], sender)
            raise smtplib.SMTPRecipientsRefused({recipient: accepted})
        if go_on[0] != 354:
            raise smtplib.SMTPDataError(*go_on)
        point("in_send")
        self.handed_over = True
        server.send(_ended(content))
        answer = server.getreply()
        if answer[0] != 250:
            raise smtplib.SMTPDataError(*answer)

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


def _bracketed(address: str) -> str:
    """The address between the brackets of a command."""
    bracketed = f"<{address}>" if PLAIN_ADDRESS.fullmatch(address) else _quoted(address)
    if "\r" in bracketed or "\n" in bracketed:
        raise ValueError("An address has a line break in it.")
    return bracketed


@lru_cache(maxsize=1_000)
def _quoted(address: str) -> str:
    return smtplib.quoteaddr(address)


def _ended(content: bytes) -> bytes:
    """A text with its dots doubled and the one that ends it."""
    doubled = _DOT.sub(b"..", content) if b"\n." in content or content.startswith(b".") else content
    return doubled + (b".\r\n" if doubled.endswith(b"\r\n") else b"\r\n.\r\n")


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
        server.ehlo_or_helo_if_needed()
        if len(recipients) == 1 and server.has_extn("pipelining"):
            server.pipelined(sender, recipients[0], wire_bytes(mail))
        else:
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
