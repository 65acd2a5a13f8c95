"""Reading a pipeline document: every problem with its path, and one canonical spelling."""

import json
from collections.abc import Iterator, Mapping, Sequence

from .block_checks import check_blocks
from .canonical import canonical, checksum, dumps
from .checks import check_goals_and_exits, check_settings, check_steps, check_times, check_triggers
from .flow import KindSpec
from .flow_checks import check_flow
from .layout import context_names
from .naming import check_names
from .shapes import Problem, Severity, document_schema, document_shape

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

LARGEST_BYTES = 10 * 1024 * 1024


def check(document: object, *, kinds: Mapping[str, KindSpec]) -> list[Problem]:
    """Every problem of a document, given the actions that exist; none means it can be published."""
    try:
        problems = list(_problems(document, kinds))
    except RecursionError:
        problems = [Problem("", "the document is nested too deeply")]
    unique = list(dict.fromkeys(problems))
    told = {problem.path for problem in unique if problem.severity == "error"}
    return [each for each in unique if each.severity == "error" or each.path not in told]


def _problems(document: object, kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    if not isinstance(document, Mapping):
        yield Problem("", "a pipeline document is an object")
        return
    unfit = _unfit(document)
    if unfit:
        yield Problem("", unfit)
        return
    wrong_shape = list(document_shape(document))
    yield from wrong_shape
    steps = document.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        return
    yield from check_steps(document, kinds=kinds)
    for found in (
        check_settings(document),
        check_triggers(document),
        check_goals_and_exits(document),
        check_times(document, kinds=kinds),
        check_blocks(document, kinds=kinds),
        check_flow(document, kinds=kinds),
        check_names(document, kinds=kinds),
    ):
        yield from _beside(wrong_shape, found) if wrong_shape else found


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


def _unfit(document: object) -> str | None:
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        return "the document is nested too deeply"
    except (TypeError, ValueError):
        return "the document holds values that JSON cannot express"
    if len(text) > LARGEST_BYTES or len(text.encode("utf-8", "replace")) > LARGEST_BYTES:
        return "the document is larger than 10 MiB"
    return None
