"""Reads the mailbox that mail comes back to over IMAP: each unseen mail once, then marked as seen."""

import imaplib
import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from crm.inbound.reading import read_returned
from crm.inbound.taking_in import take_in

log = logging.getLogger(__name__)

LIMIT: Final = 500
LONGEST: Final = 2_000_000
SECONDS: Final = 30.0
PORTS: Final = {"imap": 143, "imaps": 993}


class MailboxUnreachable(Exception):
    """The mailbox cannot be read now; the sentence says why and holds no password."""


@dataclass(slots=True)
class Reading:
    """How many mails were read, and what they were."""

    read: int = 0
    bounced: int = 0
    complained: int = 0
    replied: int = 0
    delayed: int = 0
    unrelated: int = 0


def read_mailbox(url: str, *, now: Callable[[], datetime]) -> Reading:
    """Take in up to 500 unseen mails of `imaps://user:password@host/FOLDER`; raises MailboxUnreachable.

    A mail is marked as seen after what it says is stored, so that one read twice changes nothing.
    """
    done = Reading()
    with _opened(url) as server:
        for number in _unseen(server)[:LIMIT]:
            _take(server, number, done, now())
    return done


def mailbox_problem(url: str) -> str:
    """What is wrong with such an address; empty when nothing is."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname or not parts.username:
        return "It must be of the form imaps://user:password@mail.example.org/INBOX."
    return ""


@contextmanager
def _opened(url: str) -> Iterator[imaplib.IMAP4]:
    parts = urlsplit(url)
    try:
        server = _connect(parts.scheme, str(parts.hostname), parts.port or PORTS[parts.scheme])
        try:
            server.login(unquote(parts.username or ""), unquote(parts.password or ""))
            folder = unquote(parts.path.strip("/")) or "INBOX"
            answer, _ = server.select('"' + folder.replace("\\", "\\\\").replace('"', '\\"') + '"')
            if answer != "OK":
                raise MailboxUnreachable("There is no such folder in the mailbox.")
            yield server
        finally:
            server.logout()
    except (OSError, imaplib.IMAP4.error) as error:
        raise MailboxUnreachable(f"The mailbox cannot be read: {type(error).__name__}.") from None


def _connect(scheme: str, host: str, port: int) -> imaplib.IMAP4:
    if scheme == "imaps":
        return imaplib.IMAP4_SSL(host, port, ssl_context=ssl.create_default_context(), timeout=SECONDS)
    return imaplib.IMAP4(host, port, timeout=SECONDS)


def _unseen(server: imaplib.IMAP4) -> list[str]:
    _, found = server.uid("SEARCH", "UNSEEN")
    return found[0].decode().split() if found and found[0] else []


def _take(server: imaplib.IMAP4, number: str, done: Reading, now: datetime) -> None:
    # PEEK leaves it unseen until what it says is stored; the size is bounded whatever was sent.
    _, answer = server.uid("FETCH", number, f"(BODY.PEEK[]<0.{LONGEST}>)")
    raw = next((part[1] for part in answer if isinstance(part, tuple)), None)
    done.read += 1
    kind = _kind_of(raw, now) if raw is not None else "unrelated"
    setattr(done, kind, getattr(done, kind) + 1)
    server.uid("STORE", number, "+FLAGS", r"(\Seen)")


def _kind_of(raw: Any, now: datetime) -> str:
    try:
        returned = read_returned(message_from_bytes(raw))
    except Exception:  # one mail of a stranger that breaks the parser must not keep the others waiting
        log.exception("a mail that came back could not be read")
        return "unrelated"
    if returned is None or take_in(returned, now=now) is None:
        return "unrelated"
    return returned.kind
