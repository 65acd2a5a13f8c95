"""The words of an answer without what it quotes."""

import re
from email.message import Message
from typing import Final

from crm.channels.email import html_to_text

LONGEST: Final = 20_000
# Where what was answered begins, in the words of common mail programs.
_QUOTED: Final = re.compile(
    r"^(?:-{2,}\s*(?:original message|ursprüngliche nachricht|message d'origine|mensaje original|forwarded message)"
    r"|_{8,}\s*$"
    r"|(?:on|am|le|el|il|op)\b.{0,200}(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef).{0,200}:\s*$"
    r"|.{0,200}<[^<>\s]+@[^<>\s]+>\s*(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef)\s*:\s*$)",
    re.IGNORECASE,
)
_HEADER: Final = re.compile(r"^\*?(?:from|von|de|da)\s?:\*?\s.+@", re.IGNORECASE)
_BEGUN: Final = re.compile(r"^(?:on|am|le|el|il|op)\b.{0,200}$", re.IGNORECASE)


def answer_text(mail: Message) -> str:
    """What its writer wrote, at most 20,000 characters; never raises."""
    text = _body(mail, "text/plain") or html_to_text(_body(mail, "text/html"))
    lines = text.replace("\r\n", "\n").replace("\x00", "").split("\n")
    kept = lines[: _end(lines)]
    return "\n".join(line.rstrip() for line in kept if not line.startswith(">")).strip()[:LONGEST]


def _end(lines: list[str]) -> int:
    for index, line in enumerate(lines):
        told = line.strip()
        # Programs break the line that introduces a quotation in two.
        both = f"{told} {lines[index + 1].strip()}" if index + 1 < len(lines) and _BEGUN.match(told) else told
        if _QUOTED.match(told) or _QUOTED.match(both) or _HEADER.match(told):
            return index
    return len(lines)


def _body(mail: Message, media_type: str) -> str:
    for part in mail.walk():
        if part.get_content_type() != media_type or part.get_content_disposition() == "attachment":
            continue
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            return _decoded(payload[: 10 * LONGEST], str(part.get_content_charset() or "utf-8"))
    return ""


def _decoded(content: bytes, charset: str) -> str:
    try:
        return content.decode(charset, errors="replace")
    except LookupError:
        return content.decode("utf-8", errors="replace")
