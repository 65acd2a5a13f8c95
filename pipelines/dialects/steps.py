"""A list of steps with an `id`, a `type` and a `config`, one after the other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.dialects.heads import alias_of, head, names_of, ways_in
from pipelines.dialects.naming import Names
from pipelines.dialects.parameters import step_of
from pipelines.dialects.words import snake, span_of, variable_type

Read = Callable[[Mapping[str, Any], str, Names], dict[str, Any]]
_YES = ("trueSteps", "onTrue", "true_steps", "on_true", "then")
_NO = ("falseSteps", "onFalse", "false_steps", "on_false", "else")


def from_steps(document: Mapping[str, Any]) -> dict[str, Any]:
    """`{"trigger": {"type", "config"}, "steps": [{"id", "type", "config"}]}` as a document of ours."""
    names = names_of(document, steps=document["steps"], alias=alias_of(document, otherwise="contact"))
    found = head(document, names=names, meta=_kept(document))
    found["triggers"] = ways_in(document, names=names)
    keys = list(names.keys.values())
    found["steps"] = [_step(item, key, names) for item, key in zip(document["steps"], keys, strict=True)]
    return found


def listed(items: Sequence[Mapping[str, Any]], names: Names, *, step: Read | None = None) -> list[dict[str, Any]]:
    """Steps inside another one, which have no keys yet; `step` reads each where a dialect writes them otherwise."""
    read = step or _step
    return [read(item, names.add_key(item, number), names) for number, item in enumerate(items, 1)]


def _step(item: Mapping[str, Any], key: str, names: Names) -> dict[str, Any]:
    """A condition that says no more ends what comes after it when it does not hold."""
    config = item.get("config") or item.get("data") or {}
    step = step_of(item.get("type"), config, names=names, inner=lambda inside: listed(inside, names))
    step = {**beside(item, key, names), **step}
    if step["type"] == "condition":
        step["on"] = {
            "true": _first(item, config, _YES, names, "next"),
            "false": _first(item, config, _NO, names, "end"),
        }
    return step


def beside(item: Mapping[str, Any], key: str, names: Names) -> dict[str, Any]:
    """What any step may have beside its parameters: key, name, delay, guard and timeout."""
    found: dict[str, Any] = {"key": key}
    if item.get("name"):
        found["name"] = str(item["name"])
    if item.get("delay"):
        found["delay"] = span_of(item["delay"])
    for name in ("conditions", "if"):
        if item.get(name):
            found["if"] = names.condition(item[name])
    if item.get("timeout"):
        found["timeout"] = span_of(item["timeout"])
    return found


def variables_of(document: Mapping[str, Any], names: Names) -> list[dict[str, Any]]:
    """The variables that a definition declares, without the subject, which is none here."""
    rows = [each for each in document.get("variables") or () if each.get("name") != names.alias]
    return [_variable(each) for each in rows]


def _variable(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": snake(str(given["name"])), "type": variable_type(given.get("type"))}
    for name in ("required", "default", "description"):
        if given.get(name) not in (None, False, ""):
            found[name] = given[name]
    if "defaultValue" in given:
        found["default"] = given["defaultValue"]
    return found


def _first(
    item: Mapping[str, Any], config: Mapping[str, Any], where: Sequence[str], names: Names, otherwise: str
) -> str:
    for name in where:
        given = config.get(name, item.get(name))
        target = given[0] if isinstance(given, list) and given else given
        if target:
            return names.keys.get(str(target), str(target))
    return otherwise


def _kept(document: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = document.get("metadata") or document.get("meta") or {}
    return meta if isinstance(meta, Mapping) else {}
