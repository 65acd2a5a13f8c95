"""A list of actions, each with a delay and its `data`, started by one event with conditions."""

from collections.abc import Mapping
from typing import Any

from pipelines.dialects.heads import alias_of, head, names_of, ways_in
from pipelines.dialects.naming import Names
from pipelines.dialects.parameters import step_of
from pipelines.dialects.steps import beside, listed


def from_actions(document: Mapping[str, Any]) -> dict[str, Any]:
    """`{"workflow_id", "trigger": {"type", "conditions"}, "actions": [{"type", "template", "delay", "data"}]}`."""
    names = names_of(document, steps=document["actions"], alias=alias_of(document, otherwise="contact"))
    found = head(document, names=names, meta=document.get("metadata") or {})
    found["triggers"] = ways_in(document, names=names)
    settings = _settings(document.get("settings") or {})
    if settings:
        found["settings"] = settings
    keys = list(names.keys.values())
    found["steps"] = [_step(item, key, names) for item, key in zip(document["actions"], keys, strict=True)]
    return found


def _step(item: Mapping[str, Any], key: str, names: Names) -> dict[str, Any]:
    """An action; its delay begins when the one before is over."""
    template = {"template": item["template"]} if "template" in item else {}
    given = {**template, **(item.get("data") or {})}
    step = step_of(item.get("type"), given, names=names, inner=lambda inside: listed(inside, names, step=_step))
    step = {**beside(item, key, names), **step}
    return {**step, "on": {"true": "next", "false": "end"}} if step["type"] == "condition" else step


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """A timeout there bounds the work of one step: with longer delays it could not mean the whole."""
    words = {"timeout": "step_timeout", "max_executions": "max_executions", "timezone": "timezone"}
    found = {ours: given[word] for word, ours in words.items() if given.get(word)}
    if "retry_attempts" in given:
        found["retry"] = {"max": given["retry_attempts"], "delay": given.get("retry_delay", 60)}
    return found | ({"enabled": False} if given.get("enabled") is False else {})
