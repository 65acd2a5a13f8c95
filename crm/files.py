"""Files of a team that steps may attach to mail: they lie below `attachments/<team slug>/` of the storage."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final

from django.core.exceptions import SuspiciousOperation, ValidationError
from django.core.files.storage import default_storage
from django.utils.text import get_valid_filename

from crm.models import Team

LARGEST: Final = 10 * 1024 * 1024
MOST: Final = 500
DEEPEST: Final = 5


@dataclass(frozen=True, slots=True)
class TeamFile:
    """One file: its name as steps write it, bytes, and when it was put there."""

    name: str
    size: int
    at: datetime


class FileRefused(Exception):
    """The file cannot be kept or found; the text says why."""


def files_of(team: Team) -> list[TeamFile]:
    """Everything a step of the team can attach, by name; at most `MOST`."""
    found = []
    for name in _names(team, "", 0):
        path = _path(team, name)
        found.append(TeamFile(name, default_storage.size(path), default_storage.get_modified_time(path)))
        if len(found) == MOST:
            break
    return sorted(found, key=lambda file: file.name.casefold())


def keep_file(*, team: Team, upload: Any) -> str:
    """Store an upload under its own cleaned name, which is returned; raises FileRefused."""
    try:
        name = get_valid_filename(str(upload.name).replace("\\", "/").rpartition("/")[2])[-120:].lstrip(".")
    except (SuspiciousOperation, ValidationError):
        name = ""
    if not name:
        raise FileRefused("This file has no name that can be kept.")
    if not upload.size:
        raise FileRefused("This file is empty.")
    if upload.size > LARGEST:
        size = f"{upload.size / 1_048_576:.1f}"
        raise FileRefused(f"The file has {size} MB; at most {LARGEST // 1_048_576} go into mail.")
    if len(files_of(team)) >= MOST:
        raise FileRefused(f"There are {MOST} files already: delete some first.")
    if default_storage.exists(_path(team, name)):
        raise FileRefused(f"There is a file {name} already: delete it first, or give this one another name.")
    saved = default_storage.save(_path(team, name), upload)
    return PurePosixPath(saved).name


def delete_file(*, team: Team, name: str) -> None:
    """Remove a file of the team; mail that is on its way with it will fail. Raises FileRefused."""
    default_storage.delete(_existing(team, name))


def open_file(*, team: Team, name: str) -> Any:
    """The open file; raises FileRefused."""
    return default_storage.open(_existing(team, name))


def _existing(team: Team, name: str) -> str:
    parts = PurePosixPath(name)
    if not name or parts.is_absolute() or ".." in parts.parts or "\x00" in name or "\\" in name:
        raise FileRefused("There is no such file.")
    path = _path(team, name)
    # Only what the list shows: no folders, nothing that a link leads to.
    if path not in {_path(team, known) for known in _names(team, "", 0)}:
        raise FileRefused("There is no such file.")
    return path


def _path(team: Team, name: str) -> str:
    return f"attachments/{team.slug}/{name}"


def _names(team: Team, folder: str, depth: int) -> Iterator[str]:
    try:
        folders, files = default_storage.listdir(_path(team, folder).rstrip("/"))
    except FileNotFoundError:
        return
    yield from (f"{folder}{name}" for name in sorted(files))
    if depth < DEEPEST:
        for inner in sorted(folders):
            yield from _names(team, f"{folder}{inner}/", depth + 1)
