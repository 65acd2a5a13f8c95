"""Code that no Python could read, told before it is published."""

import ast
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.definition.document import Problem
from pipelines.definition.layout import every_place
from pipelines.definition.shapes import spoken_path


def code_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    """A warning for each code that cannot be read, never run: the sandbox reads some things newer than this Python."""
    for place in every_place(document):
        if place.step["type"] != "code":
            continue
        found = _unreadable(str(place.step["with"]["source"]))
        if found:
            yield Problem(spoken_path((*place.at, "with", "source")), found, "warning")


def _unreadable(source: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except SyntaxError as error:
        return f"this does not read as Python: {error.msg} (line {error.lineno or 1}, column {error.offset or 1})"
    except (ValueError, MemoryError, RecursionError):
        return "this does not read as Python"
    return ""
