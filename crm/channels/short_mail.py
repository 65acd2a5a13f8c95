"""Mail of words alone as the bytes that leave, written at once: the same bytes that `email` arrives at by its long way.

It takes the parts of a message as they are, so whatever would be encoded or folded in them is none of its business.
"""

import re
import secrets
import time
from collections.abc import Iterable, Sequence
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives

# A header of less than 76 characters with its colon and blank is one line for any writer of mail.
SHORT: Final = 75
# RFC 5322 allows 998 bytes in a line; longer ones are encoded, which is the long way.
LONGEST_LINE: Final = 998
# One word of any length has no place to be folded at.
_WORD: Final = re.compile(r"[!-+\--:<-~]+")
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
# Blanks at the ends or side by side, and what looks encoded already, are read by those who write subjects.
_PLAIN_SUBJECT: Final = re.compile(r"(?!.*=\?)[!-~]+(?: [!-~]+)*")
# Headers that Django writes out of turn, or not as they stand.
_OWN: Final = frozenset({"from", "to", "cc", "reply-to", "subject"})

Header = tuple[str, str]


def short_way(mail: EmailMessage) -> bytes | None:
    """The lines of a message of short ASCII headers with a text and perhaps HTML; None for any other."""
    html = _html(mail)
    if html is None:
        return None
    headers = _headers(mail)
    if headers is None:
        return None
    parts = [_part("plain", str(mail.body))] + ([_part("html", html)] if html else [])
    if any(part is None for part in parts):
        return None
    known = [part for part in parts if part is not None]
    return _alone(known[0], headers) if len(known) == 1 else _side_by_side(known, headers)


def _html(mail: EmailMessage) -> str | None:
    """The HTML beside the text, empty without any; None when the message holds anything else."""
    if type(mail) not in (EmailMessage, EmailMultiAlternatives) or mail.content_subtype != "plain" or mail.attachments:
        return None
    if (mail.encoding or settings.DEFAULT_CHARSET) != "utf-8":
        return None
    others = getattr(mail, "alternatives", None) or []
    if not others:
        return ""
    content, media_type = others[0]
    return content if len(others) == 1 and media_type == "text/html" and isinstance(content, str) and content else None


def _headers(mail: EmailMessage) -> list[str] | None:
    """The lines of the headers in the order of Django; None when one of them is not a short line of its own."""
    extra = mail.extra_headers
    subject, names = str(mail.subject), {name.lower() for name in extra}
    if names & _OWN or mail.cc or "message-id" not in names or not _PLAIN_SUBJECT.fullmatch(subject):
        return None
    headers: list[Header] = [("Subject", subject), ("From", mail.from_email)]
    headers += _people("To", mail.to)
    headers += _people("Reply-To", mail.reply_to)
    if "date" not in names:
        headers.append(("Date", _date(int(time.time()), bool(settings.EMAIL_USE_LOCALTIME))))
    headers += extra.items()
    return _lines(headers)


def _people(name: str, addresses: Sequence[str]) -> list[Header]:
    return [(name, ", ".join(addresses))] if addresses else []


@lru_cache(maxsize=4)
def _date(second: int, local: bool) -> str:
    """What time it is, once for all mail of a second."""
    return formatdate(second, localtime=local)


def _lines(headers: Iterable[Header]) -> list[str] | None:
    lines = []
    for name, value in headers:
        if not isinstance(value, str) or not value.isascii():
            return None
        short = len(name) + len(value) < SHORT and value.isprintable()
        if not short and not (_WORD.fullmatch(value) and len(value) > SHORT):
            return None
        # A word that is too long for the line of its name begins the next one.
        lines.append(f"{name}: {value}" if short else f"{name}: \r\n {value}")
    return lines


def _part(kind: str, text: str) -> tuple[str, str] | None:
    """The lines about a part and its text; None when a line of it is too long to be sent as it is."""
    lines = _LINE_END.split(text)
    # A character takes four bytes at the most, so that most texts need not be encoded to be measured.
    if any(4 * len(line) > LONGEST_LINE and len(line.encode()) > LONGEST_LINE for line in lines):
        return None
    bits = "7bit" if text.isascii() else "8bit"
    about = f'Content-Type: text/{kind}; charset="utf-8"\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: {bits}'
    return about, "\r\n".join(lines)


def _alone(part: tuple[str, str], headers: Sequence[str]) -> bytes:
    about, text = part
    return "\r\n".join((about, *headers, "", text)).encode()


def _side_by_side(parts: Sequence[tuple[str, str]], headers: Sequence[str]) -> bytes:
    boundary = _boundary(parts)
    about = f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\nMIME-Version: 1.0'
    shown = [f"--{boundary}\r\n{each}\r\n\r\n{text}" for each, text in parts]
    return "\r\n".join((about, *headers, "", *shown, f"--{boundary}--", "")).encode()


def _boundary(parts: Sequence[tuple[str, str]]) -> str:
    while True:
        found = f"==============={secrets.randbelow(10**19):019d}=="
        if not any(found in text for _, text in parts):
            return found
