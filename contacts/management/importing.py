"""What commands that import files have in common: columns as people say them, and the file of refused rows."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, TextIO

from django.core.management.base import CommandError

UNREADABLE: Final = 2
INTERRUPTED: Final = 130


def given_columns(pairs: Iterable[str]) -> dict[str, str]:
    """`COLUMN=FIELD`, as often as it was given; raises CommandError for what is none."""
    given: dict[str, str] = {}
    for pair in pairs:
        title, equals, target = pair.rpartition("=")
        if not equals:
            message = f"--map {pair}: write COLUMN=FIELD, such as --map 'Work mail=email'."
            raise CommandError(message, returncode=UNREADABLE)
        given[title.strip()] = target.strip()
    return given


def open_errors(path: Path, encoding: str = "utf-8-sig") -> TextIO:
    """The file of refused rows; raises CommandError where it cannot be written."""
    try:
        return path.open("w", encoding=encoding, newline="")
    except OSError as error:
        message = f"The errors file {path} cannot be written: {error.strerror}."
        raise CommandError(message, returncode=UNREADABLE) from error
