"""What commands that import files have in common: columns as people say them, and the file of refused rows."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

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


def result_lines(numbers: Mapping[str, Any], *, report: str, dry_run: bool) -> Iterator[str]:
    """What became of the rows, for a terminal; `report` is the file of those that were not taken, if there are any."""
    would = "would be " if dry_run else ""
    unchanged = f"{numbers['unchanged']} unchanged, " if "unchanged" in numbers else ""
    yield (
        f"{numbers['rows']} rows: {numbers['created']} {would}created, {numbers['updated']} {would}updated, {unchanged}"
        f"{numbers['skipped']} skipped, {numbers['failed']} failed. {numbers['enrolled']} runs {would}started."
    )
    for key, each in numbers["pipelines"].items():
        yield f"  {each['runs']} in {each['name']} ({key})"
    if report:
        yield f"Rows that were not taken, with the reasons: {report}"
