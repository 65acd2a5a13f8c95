"""Conditions of promises: about what a run had at its end, with no name that means nothing."""

from collections.abc import Mapping
from typing import Any, Final

from pipelines.definition.conditions import Condition, ConditionError, compile_condition
from pipelines.definition.expressions import suggestion
from pipelines.definition.layout import every_place, subject_names, variable_defaults, variable_names
from pipelines.definition.meant import meant_by, places_of, words_of
from pipelines.engine.plain import plain
from pipelines.simulation.scenario import ScenarioError

# What a report tells beside the run.
_REPORTED: Final = ("status", "reason", "messages")


def promised(condition: Any, document: Mapping[str, Any], report: Mapping[str, Any], path: str) -> Condition:
    """The condition, compiled; raises ScenarioError for what cannot be read and for names that nobody has."""
    try:
        compiled = compile_condition(condition)
    except ConditionError as error:
        raise ScenarioError(path, str(error)) from None
    known = {"now", "vars", "steps", *_REPORTED, *subject_names(document), *variable_names(document)}
    for each in sorted(compiled.paths):
        wrong = _wrong(each, document, report, known)
        if wrong:
            _, place = places_of(each[:2] if each[0] in ("vars", "steps") else each[:1], condition, condition=True)[0]
            raise ScenarioError(path, f"{wrong}{place}")
    return compiled


def names_at_end(document: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """The names of a run at its end: its variables, the outputs of its steps, its subject, and what the report tells.

    Also outputs that no step read, as far as the log of the run has them.
    """
    variables = {**variable_defaults(document), **report["context"]["vars"]}
    logged = {each["key"]: each["output"] for each in report["steps"] if each.get("output") is not None}
    names = {**variables, "vars": variables, "steps": {**logged, **report["context"]["outputs"]}}
    names |= dict.fromkeys(subject_names(document), report["subject"])
    names |= {name: plain(report[name]) for name in _REPORTED}
    return {**names, "now": report["finished_at"] or report["started_at"]}


def _wrong(path: tuple[str, ...], document: Mapping[str, Any], report: Mapping[str, Any], known: set[str]) -> str:
    subject = report["subject"] or {}
    if path[0] not in known:
        return f"unknown name '{path[0]}'{meant_by(path, known, words_of(document, lambda: subject.keys()))}"
    keys = {"vars": variable_names(document), "steps": {place.key for place in every_place(document)}}.get(path[0])
    if keys is None or len(path) == 1 or path[1] in keys:
        return ""
    what = "variable" if path[0] == "vars" else "step"
    return f"there is no {what} '{path[1]}'{suggestion(path[1], keys)}"
