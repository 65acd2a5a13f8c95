"""A flow of steps that name the steps after them, with `configuration`, error handling and typed variables."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.dialects.heads import alias_of, head, names_of, ways_in
from pipelines.dialects.naming import Names
from pipelines.dialects.parameters import step_of
from pipelines.dialects.steps import beside, listed, variables_of
from pipelines.dialects.words import snake

Edge = tuple[str, str, str]
_MOST_WAYS = 5_000
_TYPED = {"datetime": "datetime", "date": "date", "number": "number", "boolean": "boolean", "multiselect": "list",
          "user": "any", "record": "any"}  # fmt: skip


def from_flow(document: Mapping[str, Any]) -> dict[str, Any]:
    """`{"id", "trigger", "variables", "steps": [{"id", "type", "configuration", "nextSteps", "errorHandling"}]}`.

    Several next steps run side by side, so a flow that has such a place is told with edges.
    """
    given: Sequence[Mapping[str, Any]] = document["steps"]
    declared = [str(each["name"]) for each in document.get("variables") or ()]
    names = names_of(document, steps=given, alias=alias_of(document, otherwise="contact"), variables=declared)
    _learn_answers(given, names)
    found = head(document, names=names, meta=document.get("metadata") or {})
    variables = variables_of(document, names)
    if variables:
        found["variables"] = _typed(variables, given)
    needed = {each["name"] for each in variables if each.get("required")}
    required = [name for name in declared if snake(name) in needed]
    found["triggers"] = ways_in(document, names=names, required=required)
    if document.get("enabled") is False:
        found["settings"] = {"enabled": False}
    keys = list(names.keys.values())
    found["steps"] = [_step(item, key, names) for item, key in zip(given, keys, strict=True)]
    return _connected(found, _edges(given), names)


def _learn_answers(steps: Sequence[Mapping[str, Any]], names: Names) -> None:
    """Answers of forms that no variable holds are read where they stand."""
    for step in steps:
        for field in _form(step):
            name = str(field.get("name"))
            if snake(name) not in names.variables:
                names.answers.setdefault(name, f"steps.{names.keys[str(step['id'])]}.{name}")


def _form(step: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    config = step.get("configuration") or {}
    fields = config.get("formFields") or config.get("form_fields") or ()
    return [field for field in fields if isinstance(field, Mapping)] if step.get("type") == "human_task" else []


def _typed(variables: list[dict[str, Any]], steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a form fills in has the type of its field."""
    types = {snake(str(f.get("name"))): _TYPED.get(str(f.get("type")), "string") for s in steps for f in _form(s)}
    return [{**each, "type": types.get(each["name"], each["type"])} for each in variables]


def _step(item: Mapping[str, Any], key: str, names: Names) -> dict[str, Any]:
    config = item.get("configuration") or item.get("config") or {}
    own = {name: value for name, value in config.items() if name not in ("trueSteps", "falseSteps")}
    if item.get("type") == "parallel":
        # It only opens ways, which its edges say.
        own = {}
    word = "wait" if item.get("type") == "parallel" else item.get("type")
    step = {**beside(item, key, names),
            **step_of(word, own, names=names, inner=lambda inside: listed(inside, names))}  # fmt: skip
    answers = [str(field.get("name")) for field in _form(item)]
    kept = {snake(name): f"{{{{ steps.{step['key']}.{name} }}}}" for name in answers if snake(name) in names.variables}
    if kept:
        step["set"] = kept
    return {**step, **_errors(item.get("errorHandling"))}


def _errors(given: Any) -> dict[str, Any]:
    """How often a step is tried again, and whether the run goes on after the last try."""
    if not isinstance(given, Mapping):
        return {}
    found: dict[str, Any] = {}
    if given.get("retryCount"):
        found["retry"] = {"max": given["retryCount"], "delay": given.get("retryDelay", 60)}
    if given.get("onError") == "continue":
        found["on"] = {"error": "next"}
    return found


def _edges(steps: Sequence[Mapping[str, Any]]) -> list[Edge]:
    """(from, outcome, to) by id; what follows a parallel step follows the ends of what it opened.

    Raises ValueError beyond any sensible number.
    """
    edges = [(str(step["id"]), outcome, target) for step in steps for outcome, target in _ways(step)]
    conditions = {str(step["id"]) for step in steps if step.get("type") == "condition"}
    for step in reversed(steps):
        opened = [str(target) for target in (step.get("configuration") or {}).get("parallelSteps") or ()]
        after = [str(target) for target in step.get("nextSteps") or ()]
        if step.get("type") != "parallel" or not opened:
            continue
        key, ways = str(step["id"]), _by_source(edges)
        ends = [
            (each, outcome)
            for each in _inside(opened, ways, stop=key)
            for outcome in _open_ends(each in conditions, [outcome for outcome, _ in ways.get(each, ())])
        ]
        if len(edges) + len(opened) + len(ends) * len(after) > _MOST_WAYS:
            raise ValueError("more ways than anybody draws")
        edges = [edge for edge in edges if edge[0] != key]
        edges += [(key, "next", target) for target in opened]
        edges += [(each, outcome, target) for each, outcome in ends for target in after]
    return edges


def _by_source(edges: Sequence[Edge]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for source, outcome, target in edges:
        found.setdefault(source, []).append((outcome, target))
    return found


def _ways(step: Mapping[str, Any]) -> list[tuple[str, str]]:
    config = step.get("configuration") or {}
    if step.get("type") != "condition":
        return [("next", str(target)) for target in step.get("nextSteps") or ()]
    sides = (("true", "trueSteps"), ("false", "falseSteps"))
    said = [(outcome, str(target)) for outcome, name in sides for target in config.get(name) or ()]
    return said or [("next", str(target)) for target in step.get("nextSteps") or ()]


def _inside(opened: list[str], ways: Mapping[str, Sequence[tuple[str, str]]], *, stop: str) -> list[str]:
    """The steps from these on, nearest first."""
    found = [key for key in dict.fromkeys(opened) if key != stop]
    known = {stop, *found}
    for key in found:
        fresh = dict.fromkeys(target for _, target in ways.get(key, ()) if target not in known)
        known |= fresh.keys()
        found += fresh
    return found


def _open_ends(is_condition: bool, led: Sequence[str]) -> list[str]:
    """The outcomes of a step that lead nowhere yet."""
    if is_condition and set(led) != {"next"}:
        return [outcome for outcome in ("true", "false") if outcome not in led]
    return [] if led else ["next"]


def _connected(document: dict[str, Any], edges: Sequence[Edge], names: Names) -> dict[str, Any]:
    """Ways as `next` and `on` where each leads to one step, else as edges."""
    told = [(names.keys.get(a, a), outcome, names.keys.get(b, b)) for a, outcome, b in edges]
    if len({(source, outcome) for source, outcome, _ in told}) < len(told):
        rows = [{"from": a, "to": b, **({"on": outcome} if outcome != "next" else {})} for a, outcome, b in told]
        return {**document, "edges": rows}
    by_step = _by_source(told)
    for step in document["steps"]:
        ways = dict(by_step.get(step["key"], ()))
        following = ways.pop("next", "end")
        if step["type"] == "condition" and "next" not in ways:
            ways = {"true": following, "false": following, **ways}
        else:
            step["next"] = following
        if ways:
            step["on"] = {**step.get("on", {}), **ways}
    return document
