"""Documents in files: read with every mistake that JSON lets pass, found in folders."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipelines.definition.document import Problem
from pipelines.dialects import translated


def load(name: str) -> tuple[Any, list[Problem]]:
    """The document of a file ("-" reads standard input) in our own format, or what is wrong with the file."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
        return translated(json.loads(text, object_pairs_hook=_no_duplicates)), []
    except OSError as error:
        return None, [Problem("", f"cannot be read: {error.strerror}")]
    except (ValueError, RecursionError) as error:
        return None, [Problem("", f"is not JSON: {error}")]


def expanded(names: Sequence[str]) -> list[str]:
    """The names, folders replaced by the JSON files in them in the order of their names."""
    found: list[str] = []
    for name in names:
        folder = Path(name)
        found += [str(path) for path in sorted(folder.glob("*.json"))] if name != "-" and folder.is_dir() else [name]
    return found


def _no_duplicates(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Two values for one name is a mistake that JSON itself lets pass."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"'{name}' is given twice in one object")
        found[name] = value
    return found
