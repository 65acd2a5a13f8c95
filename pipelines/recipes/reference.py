"""Every kind of step as a page of the documentation: what it does, what it takes, where it leads and an example."""

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from pipelines.actions.base import Kind
from pipelines.actions.registry import BUILT_IN
from pipelines.recipes.samples import SAMPLES

_HEAD = """# Steps

What a step of a pipeline can do. In the admin each has a form; in a document (`pipelines export`,
`PUT /api/v1/pipelines/<id>/`) it is an object with its `type`, what it takes as `with`, and what every step may have:

| | |
|---|---|
| `key`, `name` | what other steps call it, and what people read |
| `delay` | how long after the step before it begins: seconds, `"2d"`, or [more than that](language.md#delays) |
| `if` | a [condition](language.md#conditions) without which it is passed over (`skipped`) |
| `on` | where each of its ends leads: the key of a step, `next`, `end` or `fail` |
| `retry` | when it is tried again: [rules](language.md#errors) for classes of errors |
| `timeout` | how long it may take; a wait, a question and a block then end with `timeout` |
| `set` | variables that it sets when it has ended: `{"score": "= score + 1"}` |
| `message` | the text of steps that send or ask something |

A text that begins with `=` is an [expression](language.md#expressions), other texts are
[templates](language.md#templates).

This page is written by `manage.py pipelines gallery docs`.
"""
_ORDER = ("Messages", "People", "Flow", "Records", "Integrations")
_WAYS = {
    "next": "it went well",
    "skipped": "it was passed over, or nobody may be reached",
    "uncertain": "nobody knows whether it arrived",
    "error": "it failed for good",
    "timeout": "its time is over",
}
# Ends that a document names.
_NAMED = {
    "human_task": "the names of its answers",
    "switch": "the names of its cases",
    "split": "the names of its variants, `holdout`",
    "wait_for": "the names of its events",
}
_WIDTH = 100


def steps_page() -> str:
    """The page `steps.md`."""
    found = sorted((kind() for kind in BUILT_IN), key=lambda kind: _ORDER.index(kind.group))
    return "".join(_text(found))


def _text(found: list[Kind]) -> Iterator[str]:
    yield _HEAD
    for group, kinds in groupby(found, key=lambda kind: kind.group):
        yield f"\n## {group}\n"
        for kind in kinds:
            yield from _kind(kind)


def _kind(kind: Kind) -> Iterator[str]:
    yield f"\n### {kind.label}\n\n`{kind.code}`: {kind.description}\n"
    parameters = kind.schema.get("properties", {})
    if parameters:
        yield "\n| `with` | |\n|---|---|\n"
        needed = kind.schema.get("required", ())
        yield from (_parameter(name, told, name in needed) for name, told in parameters.items())
    sample = {"type": kind.code, **SAMPLES[kind.code]}
    yield f"\n{_ways(kind)}{_outputs(kind, sample)}\n"
    yield f"\n```json\n{_written(sample)}\n```\n"


def _parameter(name: str, told: Mapping[str, Any], needed: bool) -> str:
    words = [f"**{told.get('title', name)}**{', needed' if needed else ''}."]
    if "enum" in told:
        words.append(f"One of {', '.join(f'`{json.dumps(each)}`' for each in told['enum'] if each != '')}.")
    words.append(str(told.get("description", "")))
    said = " ".join(each for each in words if each).replace("|", "\\|").replace("<", "&lt;")
    return f"| `{name}` | {said} |\n"


def _ways(kind: Kind) -> str:
    ways = [_NAMED[kind.code]] if kind.code in _NAMED else []
    ways += [f"`{name}`" + (f" ({_WAYS[name]})" if name in _WAYS else "") for name in kind.outcomes]
    return f"Ends: {', '.join(ways)}." if ways else "Nothing comes after it."


def _outputs(kind: Kind, sample: Mapping[str, Any]) -> str:
    if kind.code == "set_variable":
        return " Later steps read what it sets by its name."
    names = kind.outputs({"with": {}, **sample})
    read = ", ".join(f"`steps.<key>.{name}`" for name in sorted(names or ()))
    return f" Later steps read {read}." if read else ""


def _written(value: Any, indent: int = 0) -> str:
    """On one line what fits there."""
    line = json.dumps(value, ensure_ascii=False)
    if indent + len(line) <= _WIDTH or not isinstance(value, dict | list):
        return line
    more, inner = " " * (indent + 2), indent + 2
    if isinstance(value, dict):
        parts = [f"{more}{json.dumps(key)}: {_written(each, inner)}" for key, each in value.items()]
    else:
        parts = [f"{more}{_written(each, inner)}" for each in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return "\n".join((first, ",\n".join(parts), " " * indent + last))
