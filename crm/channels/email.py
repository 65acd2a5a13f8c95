"""One email as an immutable value, checked and built into Django's message, and one connection for many."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formataddr, getaddresses
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage, EmailMultiAlternatives, get_connection
from django.core.validators import DomainNameValidator, EmailValidator, validate_email
from django.utils.html import escape, linebreaks

from crm.channels.base import Code, Delivered, DeliveryResult, Refused, Unknown
from crm.outside import check_open

# Django checks the values of headers but not their names, so names come from this list or begin with X-.
HEADERS: Final = frozenset(
    {"auto-submitted", "feedback-id", "in-reply-to", "list-id", "precedence", "references", "importance"}
)
_OWN_HEADER = re.compile(r"x-[a-z0-9][a-z0-9-]{0,60}")
# Everything that some reader takes for the end of a line, and halves of characters that nobody can encode.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_HALF = re.compile(r"[\ud800-\udfff]")
_MEDIA_TYPE = re.compile(r"(?!multipart/)[a-z0-9][a-z0-9.+_-]*/[a-z0-9][a-z0-9.+_-]*", re.IGNORECASE)
MAX_LINE: Final = 900
MAX_ATTACHMENTS: Final = 20


class _Plain(EmailValidator):
    """Says of an address in ASCII what Django says; Django's pattern knows the letters of all languages, and takes each
    process a tenth of a second to compile."""

    domain_regex = re.compile(
        rf"^{EmailValidator.hostname_re}{EmailValidator.domain_re}{EmailValidator.tld_no_fqdn_re}\Z".replace(
            DomainNameValidator.ul, ""
        ),
        re.IGNORECASE | re.ASCII,
    )


_plain: Final = _Plain()


class InvalidMessage(Exception):
    """A message that must not be built; the text says which part is wrong."""


@dataclass(frozen=True, slots=True)
class EmailContent:
    """What one person is to receive. Attachments are (name, content, media type)."""

    to: str
    subject: str
    text: str
    html: str = ""
    from_email: str = ""
    reply_to: str = ""
    message_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: Sequence[tuple[str, bytes, str]] = ()
    unsubscribe_url: str = ""


def valid_address(address: str) -> bool:
    """True for one bare address that may receive mail."""
    # Django lets control characters stand between quotes, where they break the line of a header.
    if len(address) > 254 or _CONTROL.search(address):
        return False
    try:
        (_plain if address.isascii() else validate_email)(address)
    except ValidationError:
        return False
    return True


def build(content: EmailContent) -> EmailMessage:
    """A message ready to hand over; raises InvalidMessage."""
    if not valid_address(content.to):
        raise InvalidMessage("The recipient is not one valid email address.")
    if len(content.attachments) > MAX_ATTACHMENTS:
        raise InvalidMessage(f"A message may have at most {MAX_ATTACHMENTS} attachments.")
    mail = EmailMultiAlternatives(
        subject=_line(content.subject, "subject"),
        body=_text(content.text) or html_to_text(_text(content.html)),
        from_email=_address(content.from_email or settings.DEFAULT_FROM_EMAIL, "sender"),
        to=[content.to],
        reply_to=[_address(content.reply_to, "reply-to")] if content.reply_to else None,
        headers=_headers(content),
    )
    if content.html:
        mail.attach_alternative(content.html, "text/html")
    # What providers hand back with everything they tell of it.
    mail.metadata = {"message": content.message_id} if content.message_id else {}  # type: ignore[attr-defined]
    for name, data, media_type in content.attachments:
        mail.attach(_line(name, "attachment name"), data, _media_type(media_type))
    return mail


def _text(text: str) -> str:
    if _HALF.search(text):
        raise InvalidMessage("The text contains characters that mail cannot carry.")
    return text


def _media_type(text: str) -> str:
    if not _MEDIA_TYPE.fullmatch(text):
        raise InvalidMessage("The type of an attachment is not of the form text/plain.")
    return text


def _headers(content: EmailContent) -> dict[str, str]:
    headers = {}
    for name, value in content.headers.items():
        if name.lower() not in HEADERS and not _OWN_HEADER.fullmatch(name.lower()):
            raise InvalidMessage(f"The header {_shown(name)} is not allowed.")
        headers[name] = _line(str(value), f"header {name}")
    if content.message_id:
        headers["Message-ID"] = _line(content.message_id, "message id")
    if content.unsubscribe_url:
        if re.search(r"[<> ]", content.unsubscribe_url):
            raise InvalidMessage("The unsubscribe address contains characters that end it.")
        headers["List-Unsubscribe"] = f"<{_line(content.unsubscribe_url, 'unsubscribe address')}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return headers


def _line(text: str, part: str) -> str:
    """One line of bounded length; a line break would begin a header of the author's choice."""
    if _CONTROL.search(text):
        raise InvalidMessage(f"The {part} contains a line break or a control character.")
    if len(text) > MAX_LINE:
        raise InvalidMessage(f"The {part} is longer than {MAX_LINE} characters.")
    return text


@lru_cache(maxsize=1_000)
def _address(text: str, part: str) -> str:
    """One address with its name; a sender is the same for thousands of messages."""
    found = getaddresses([_line(text, part)])
    if len(found) != 1:
        raise InvalidMessage(f"The {part} must be one email address.")
    ((name, address),) = found
    if not valid_address(address) and not _local(address):
        raise InvalidMessage(f"The {part} is not a valid email address.")
    mailbox, _, domain = address.rpartition("@")
    try:
        address = f"{mailbox}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        raise InvalidMessage(f"The domain of the {part} is not valid.") from None
    return formataddr((name, address)) if name else address


def _local(address: str) -> bool:
    """Senders such as crm@localhost, which installations without a domain use."""
    return re.fullmatch(r"[A-Za-z0-9._+-]+@localhost", address) is not None


def _shown(name: str) -> str:
    return repr(name[:40])


class Mailer:
    """One connection for many messages: opened first, so that an error there is a definite no."""

    def __init__(self) -> None:
        self._connection: Any = get_connection()

    def open(self) -> Refused | None:
        """None when the server can be reached and lets us in."""
        check_open()
        try:
            self._connection.open()
        except Exception as error:  # every backend has its own; none has handed anything over yet
            self.close()
            return Refused(code="connection", detail=f"{type(error).__name__}: {error}"[:400], permanent=False)
        return None

    def deliver(self, mails: Sequence[EmailMessage]) -> Iterator[DeliveryResult]:
        """Hand messages over one by one and answer for each, in order."""
        check_open()
        exact = getattr(self._connection, "deliver", None)
        for mail in mails:
            yield exact(mail) if exact is not None else self._send(mail)

    def _send(self, mail: EmailMessage) -> DeliveryResult:
        """A backend that cannot tell "not accepted" from "answer lost": an error is unknown."""
        try:
            count = self._connection.send_messages([mail])
        except Exception as error:  # every backend has its own
            status = getattr(error, "status_code", None)
            if isinstance(status, int) and 400 <= status < 500:
                # The API of a provider that says no has not taken it.
                code: Code = "http_429" if status == 429 else "http_4xx"
                return Refused(code=code, detail=f"{status} {type(error).__name__}"[:400], permanent=status != 429)
            return Unknown(detail=f"{type(error).__name__}: {error}"[:400])
        if not count:
            return Refused(code="connection", detail="The mail backend did not accept it.", permanent=False)
        return Delivered(reference=str(mail.extra_headers.get("Message-ID", "")))

    def close(self) -> None:
        try:
            self._connection.close()
        except Exception:  # the messages before have their answers; nothing is left to lose
            return


def text_to_html(text: str) -> str:
    """Plain text as simple HTML, everything in it escaped."""
    return linebreaks(escape(text))


class _Text(HTMLParser):
    """Collects the readable text of HTML, with the targets of links."""

    BREAKS = frozenset({"br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "table", "ul", "ol"})
    HIDDEN = frozenset({"style", "script", "head", "title"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.hidden = 0
        self.link = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.HIDDEN:
            self.hidden += 1
        elif tag == "body":
            # The end of a head may be left out.
            self.hidden = 0
        elif tag in self.BREAKS:
            self.parts.append("\n")
        elif tag == "a":
            self.link = dict(attrs).get("href") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag in self.HIDDEN:
            self.hidden = max(0, self.hidden - 1)
        elif tag in self.BREAKS:
            self.parts.append("\n")
        elif tag == "a" and self.link:
            self.parts.append(f" ({self.link})")
            self.link = ""

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(re.sub(r"\s+", " ", data))


def html_to_text(html: str) -> str:
    """The words of an HTML part, for readers and filters that want text."""
    if not html:
        return ""
    parser = _Text()
    parser.feed(html)
    parser.close()
    lines = [line.strip() for line in "".join(parser.parts).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
