"""Where an uploaded file lies between two requests: in a folder of one person in one team.

A folder holds one upload at most; the next one clears it away.
"""

import re
import secrets
from typing import Any, Final, Literal

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from crm.models import Team

Kind = Literal["upload"]
_TOKEN: Final = re.compile(r"^[0-9a-f]{32}$")


class ImportFiles:
    """The files of one person in one team."""

    def __init__(self, *, team: Team, user: Any) -> None:
        self._folder = f"imports/{team.pk}/{user.pk}"

    def put(self, kind: Kind, content: bytes) -> str:
        """Keep a file instead of what is there of its kind; the answer names it."""
        self.clear(kind)
        token = secrets.token_hex(16)
        default_storage.save(self._path(kind, token), ContentFile(content))
        return token

    def get(self, kind: Kind, token: str) -> bytes | None:
        """The file, or None when it was replaced, used up or never belonged to this person."""
        if not _TOKEN.match(token) or not default_storage.exists(self._path(kind, token)):
            return None
        with default_storage.open(self._path(kind, token)) as file:
            return bytes(file.read())

    def clear(self, *kinds: Kind) -> None:
        for name in self._names():
            if name.partition("-")[0] in kinds:
                default_storage.delete(f"{self._folder}/{name}")

    def _names(self) -> list[str]:
        try:
            return list(default_storage.listdir(self._folder)[1])
        except FileNotFoundError:
            return []

    def _path(self, kind: Kind, token: str) -> str:
        return f"{self._folder}/{kind}-{token}.csv"
