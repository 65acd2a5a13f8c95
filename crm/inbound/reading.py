"""What one mail that came back says: a bounce (RFC 3464), a complaint (RFC 5965), an answer, or nothing for us."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.utils import parseaddr
from typing import Any, Final, Literal

from crm.inbound.answers import answer_text

_ID: Final = re.compile(r"<[^<>\s]{1,190}>")
_ID_LINE: Final = re.compile(r"^message-id:\s*(<[^<>\s]{1,190}>)", re.IGNORECASE | re.MULTILINE)
_STATUS: Final = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
# What programs that answer by themselves begin their subjects with, where they set no header.
_AUTOMATIC: Final = re.compile(
    r"(?:auto(?:matic)?[ -]?(?:reply|response|antwort)|automatische antwort|abwesen|out of (?:the )?office"
    r"|r[eé]ponse automatique|respuesta autom)",
    re.IGNORECASE,
)

Kind = Literal["bounced", "complained", "replied", "delayed"]


@dataclass(frozen=True, slots=True)
class Returned:
    """`message_ids` name the messages it may be about, nearest first; `address` is whom the report names.

    `gone` is true for a bounce because there is no such mailbox. `detail` is one line for people.
    """

    kind: Kind
    message_ids: tuple[str, ...]
    address: str = ""
    gone: bool = False
    automatic: bool = False
    detail: str = ""
    # Of an answer: its own Message-ID and its words.
    own_id: str = ""
    text: str = ""


def read_returned(mail: Message) -> Returned | None:
    """What a mail says about one of ours; None when it names none. Malformed mail never raises."""
    report = _part(mail, "message/delivery-status")
    if report is not None:
        return _bounce(mail, report)
    complaint = _part(mail, "message/feedback-report")
    if complaint is not None:
        ids = tuple(dict.fromkeys(_original_ids(mail)))
        recipient = _field(_first(complaint), "Original-Rcpt-To")
        return Returned("complained", ids, parseaddr(recipient)[1]) if ids else None
    ids = tuple(dict.fromkeys([*_ids(mail, "In-Reply-To"), *reversed(_ids(mail, "References"))]))
    if not ids:
        return None
    sender = parseaddr(_text(mail.get("From", "")))[1]
    own = next(iter(_ids(mail, "Message-ID")), "")
    text = answer_text(mail)
    return Returned("replied", ids, sender, automatic=is_automatic(mail), own_id=own, text=text)


def is_automatic(mail: Message) -> bool:
    """Whether a program answered: RFC 3834, and what older programs set instead."""
    submitted = _text(mail.get("Auto-Submitted", "no")).split(";")[0].strip().lower()
    if submitted not in ("", "no"):
        return True
    if any(name in mail for name in ("X-Autoreply", "X-Autorespond", "X-Auto-Response-Suppress", "List-Id")):
        return True
    if _text(mail.get("Precedence", "")).strip().lower() in ("bulk", "junk", "auto_reply", "list"):
        return True
    if _text(mail.get("Return-Path", "x")).strip() == "<>":
        return True
    return bool(_AUTOMATIC.match(_text(mail.get("Subject", "")).strip()))


def _bounce(mail: Message, report: Message) -> Returned | None:
    ids = tuple(dict.fromkeys([*_original_ids(mail), *_ids(mail, "In-Reply-To"), *_ids(mail, "References")]))
    blocks = _blocks(report)
    about = next((block for block in blocks if block.get("Final-Recipient")), None)
    if not ids or about is None:
        return None
    action = _field(about, "Action").lower()
    found = _STATUS.search(_field(about, "Status"))
    status = found[0] if found else ""
    recipient = _field(about, "Original-Recipient") or _field(about, "Final-Recipient")
    address = recipient.rpartition(";")[2].strip().strip("<>")
    detail = " ".join(f"{status} {_field(about, 'Diagnostic-Code')}".split())[:300]
    if action == "delayed":
        return Returned("delayed", ids, address, detail=detail)
    if action != "failed":
        return None
    # 5.1.x is about the mailbox itself; others (full, refused for its content) may be mended.
    gone = bool(found and found[1] == "5" and found[2] == "1")
    return Returned("bounced", ids, address, gone=gone, detail=detail)


def _part(mail: Message, media_type: str) -> Message | None:
    return next((part for part in mail.walk() if part.get_content_type() == media_type), None)


def _blocks(report: Message) -> list[Message]:
    payload: Any = report.get_payload()
    return [block for block in payload if isinstance(block, Message)] if isinstance(payload, list) else []


def _first(report: Message) -> Message:
    return next(iter(_blocks(report)), report)


def _original_ids(mail: Message) -> Iterator[str]:
    """Message-IDs of the mail that a report carries, whole or its headers only."""
    for part in mail.walk():
        kind = part.get_content_type()
        if kind == "message/rfc822":
            for block in _blocks(part):
                yield from _ids(block, "Message-ID")
        elif kind == "text/rfc822-headers":
            found = _ID_LINE.search(str(part.get_payload()))
            if found:
                yield found[1]


def _ids(mail: Message, name: str) -> list[str]:
    return _ID.findall(_text(mail.get(name, "")))[:50]


def _field(block: Message, name: str) -> str:
    return " ".join(_text(block.get(name, "")).split())


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # headers of strangers are broken in more ways than there are names for
        return ""
