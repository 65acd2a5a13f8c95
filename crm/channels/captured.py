"""Keeps mail as files instead of sending it, for laptops: one `.eml` per message, written whole or not at all."""

import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage as ParsedMessage
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from crm.channels.base import Delivered, DeliveryResult, Refused
from crm.channels.letters import NAMES, Letter

_NAME: Final = re.compile(r"\d{20}-[0-9a-f]{8}\.eml")
BACKEND: Final = "crm.channels.captured.EmailBackend"


class EmailBackend(BaseEmailBackend):
    """Writes into `CAPTURED_MAIL_DIR`; file names sort by time."""

    def __init__(self, fail_silently: bool = False, **kwargs: Any) -> None:
        super().__init__(fail_silently=fail_silently, **kwargs)
        self._folder = Path(settings.CAPTURED_MAIL_DIR)

    def open(self) -> bool:
        """Make the folder, readable by nobody else."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return True

    def deliver(self, mail: EmailMessage) -> DeliveryResult:
        """Keep one message; an error means that there is no file."""
        try:
            self._keep(mail)
        except OSError as error:
            return Refused(code="connection", detail=f"{type(error).__name__}: {error}"[:400], permanent=False)
        except Exception as error:  # what mail cannot carry is told in many ways, and there is no file either
            return Refused(code="validation", detail=f"{type(error).__name__}: {error}"[:400], permanent=True)
        return Delivered(reference=str(mail.extra_headers.get("Message-ID", "")))

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """For senders other than the engine, such as the reset of a password."""
        self.open()
        for mail in email_messages:
            try:
                self._keep(mail)
            except OSError:
                if not self.fail_silently:
                    raise
        return len(email_messages)

    def _keep(self, mail: EmailMessage) -> None:
        keep(self._folder, mail.message().as_bytes())


def keep(folder: Path, content: bytes) -> None:
    """Write one message into the folder, whole or not at all."""
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
    unfinished = folder / f".{name}"
    unfinished.write_bytes(content)
    os.replace(unfinished, folder / f"{name}.eml")


def captured_names() -> list[str]:
    """Names of the kept messages, newest first."""
    folder = Path(settings.CAPTURED_MAIL_DIR)
    if not folder.is_dir():
        return []
    return sorted((entry.name for entry in _messages(folder)), reverse=True)


def read_captured(name: str) -> ParsedMessage | None:
    """One kept message, None when there is no such file in the folder."""
    path = Path(settings.CAPTURED_MAIL_DIR) / name
    if not _NAME.fullmatch(name) or not path.is_file():
        return None
    content = path.read_bytes()
    parsed: Any = message_from_bytes(content, policy=policy.default)
    return parsed  # type: ignore[no-any-return]


def _messages(folder: Path) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if _NAME.fullmatch(entry.name))


class LetterBox:
    """Keeps SMS, push and WhatsApp messages beside captured mail, for laptops and tests."""

    def deliver(self, letter: Letter) -> DeliveryResult:
        """Keep one message; an error means that there is no file."""
        kept = ParsedMessage(policy=policy.default)
        kept["X-Channel"] = letter.channel
        kept["X-To"] = ", ".join(letter.to)
        kept["Subject"] = " ".join(letter.title.split()) or f"{NAMES[letter.channel]} to {letter.to[0]}"
        kept["Message-ID"] = f"<{letter.key or secrets.token_hex(8)}@{letter.channel}.captured>"
        for name, value in letter.data.items():
            kept[f"X-Data-{name}"] = " ".join(str(value).split())
        kept.set_content(letter.text)
        folder = Path(settings.CAPTURED_MAIL_DIR)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            keep(folder, kept.as_bytes())
        except OSError as error:
            return Refused(code="connection", detail=f"{type(error).__name__}: {error}"[:400], permanent=False)
        return Delivered(reference=str(kept["Message-ID"]))
