"""Where commands write their lines."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError


def write_lines(lines: Iterator[str], output: Path | None, stdout: Any) -> int:
    """Write every line into a file, or to where a command prints; answers how many."""
    if output is None:
        return _print(lines, stdout)
    try:
        # The byte order mark is what tells spreadsheets that the file is UTF-8.
        encoding = "utf-8" if output.suffix in {".json", ".jsonl"} else "utf-8-sig"
        with output.open("w", encoding=encoding, newline="") as file:
            return sum(1 for line in lines if file.write(line))
    except OSError as error:
        raise CommandError(f"{output}: {error.strerror}.", returncode=2) from error


def _print(lines: Iterator[str], stdout: Any) -> int:
    """Write until the reader of a pipe, such as `head`, has enough."""
    count = 0
    try:
        for line in lines:
            stdout.write(line, ending="")
            count += 1
        stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer must not be written once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
    return count
