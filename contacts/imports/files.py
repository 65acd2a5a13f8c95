"""Where uploaded files lie until they were imported and some days longer: in the storage, in a folder of their team."""

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any, BinaryIO, Final, cast

from django.core.files.storage import default_storage

from crm.csv_files import Source, UnreadableFile
from crm.models import Team

_CHUNK: Final = 1 << 20


class StoredBytes:
    """Bytes of a file in the storage."""

    def __init__(self, name: str) -> None:
        self._name = name

    def open(self) -> BinaryIO:
        try:
            return cast(BinaryIO, default_storage.open(self._name).file)
        except OSError as error:
            raise UnreadableFile("The file is no longer in the storage.") from error


def keep(*, team: Team, upload: Any) -> str:
    """Store an upload under a name that nobody can guess."""
    return str(default_storage.save(f"imports/{team.pk}/{secrets.token_hex(16)}.csv", upload))


def drop(name: str) -> None:
    """Delete a stored file; one that is gone already is fine."""
    if name:
        default_storage.delete(name)


def digest_of(source: Source) -> str:
    """What tells a file from others, read in pieces; raises UnreadableFile."""
    found = hashlib.sha256()
    with source.open() as file:
        for chunk in _chunks(file):
            found.update(chunk)
    return found.hexdigest()


def _chunks(file: BinaryIO) -> Iterable[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
