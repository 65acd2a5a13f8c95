"""Reading a pipeline document: every problem with its path, and one canonical spelling."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .block_checks import check_blocks
from .canonical import canonical, checksum, dumps
from .checks import check_goals_and_exits, check_settings, check_steps, check_times, check_triggers
from .flow import KindSpec
from .flow_checks import check_flow
from .form_checks import check_forms
from .layout import Path, context_names, every_place
from .meant import Fields, no_fields
from .naming import check_names
from .shapes import Problem, Severity, document_schema, document_shape, spoken_path

__all__ = [
    "KindSpec",
    "Problem",
    "Severity",
    "canonical",
    "check",
    "checksum",
    "context_names",
    "document_schema",
    "dumps",
]

_MOST_ENTRIES: Final = 1_000
_LISTS: Final = ("variables", "triggers", "goals", "exit", "edges")
_LISTS_OF_STEPS: Final = ("on", "set")
_LISTS_OF_BLOCKS: Final = ("branches", "cases", "events", "variants")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a document may hold: steps over all lists, and bytes as JSON."""

    steps: int = 50
    bytes: int = 10 * 1024 * 1024


def check(
    document: object, *, kinds: Mapping[str, KindSpec], fields: Fields = no_fields, limits: Limits | None = None
) -> list[Problem]:
    """Every problem of a document, given the actions that exist; none means it can be published.

    `fields` gives the names of the fields of its subject, for hints at what a slip was meant to be.
    """
    try:
        problems = list(_problems(document, kinds, fields, limits or Limits()))
    except RecursionError:
        problems = [Problem("", "the document is nested too deeply")]
    unique = list(dict.fromkeys(problems))
    told = {problem.path for problem in unique if problem.severity == "error"}
    return [each for each in unique if each.severity == "error" or each.path not in told]


def _problems(document: object, kinds: Mapping[str, KindSpec], fields: Fields, limits: Limits) -> Iterator[Problem]:
    if not isinstance(document, Mapping):
        yield Problem("", "a pipeline document is an object")
        return
    unfit = _unfit(document, limits.bytes)
    if unfit:
        yield Problem("", unfit)
        return
    crowded = list(_crowded(document))
    if crowded:
        yield from crowded
        return
    wrong_shape = list(document_shape(document))
    yield from wrong_shape
    steps = document.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        return
    yield from check_steps(document, kinds=kinds, most=limits.steps)
    for found in (
        check_settings(document),
        check_triggers(document, fields=fields),
        check_goals_and_exits(document, fields=fields),
        check_times(document, kinds=kinds),
        check_blocks(document, kinds=kinds),
        check_forms(document),
        check_flow(document, kinds=kinds),
        check_names(document, kinds=kinds, fields=fields),
    ):
        yield from _beside(wrong_shape, found) if wrong_shape else found


def _crowded(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Lists that are longer than anybody writes them: what compares their entries would take minutes."""
    places = every_place(document)
    if len(places) > _MOST_ENTRIES:
        yield Problem("steps", f"at most {_MOST_ENTRIES:,} may stand here, not {len(places):,}")
        return
    holders: list[tuple[Path, Any, Sequence[str]]] = [((), document, _LISTS)]
    holders += [(place.at, place.step, _LISTS_OF_STEPS) for place in places]
    holders += [((*place.at, "with"), place.step.get("with"), _LISTS_OF_BLOCKS) for place in places]
    for at, holder, names in holders:
        for name in names if isinstance(holder, Mapping) else ():
            count = _length(holder.get(name))
            if count > _MOST_ENTRIES:
                yield Problem(spoken_path((*at, name)), f"at most {_MOST_ENTRIES:,} may stand here, not {count:,}")


def _length(value: object) -> int:
    return len(value) if isinstance(value, list | Mapping) else 0


def _beside(wrong_shape: Sequence[Problem], found: Iterator[Problem]) -> Iterator[Problem]:
    """Errors of the parts that have their shape; checks rely on it, so each ends where it is missing."""
    told = tuple(problem.path for problem in wrong_shape if problem.path)
    try:
        for problem in found:
            inside = problem.path.startswith(told) or any(path.startswith(problem.path) for path in told)
            if problem.severity == "error" and not inside:
                yield problem
    except (AttributeError, KeyError, TypeError, ValueError, IndexError):
        return


def _unfit(document: object, most: int) -> str | None:
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        return "the document is nested too deeply"
    except (TypeError, ValueError):
        return "the document holds values that JSON cannot express"
    size = len(text.encode("utf-8", "replace"))
    if size > most:
        return f"the document has {in_words(size)}; at most {in_words(most)} are allowed"
    return None


def in_words(size: int) -> str:
    """A number of bytes as people say it."""
    return f"{size / 1024**2:.1f} MiB" if size >= 1024**2 else f"{size / 1024:.1f} KiB"
