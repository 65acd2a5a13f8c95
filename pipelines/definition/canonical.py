"""One spelling for every document, so that equal pipelines are equal byte for byte."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .blocks import INDEX, ITEM, MOST_ITERATIONS
from .durations import DurationError, parse_duration
from .layout import Place, following, inside, places, usual_key
from .shapes import document_schema
from .values import is_dynamic

Convert = Callable[[Any], Any]
# An empty value of these means the same as none; elsewhere (a default, a condition) it does not.
_DROPPED_WHEN_EMPTY = frozenset(
    {"description", "name", "message", "notes", "with", "set", "on", "days", "meta", "settings"}
    | {"variables", "triggers", "exit", "goals", "edges", "export", "after"}
)

# Where these lead must be said, even when it is to the step that follows.
_SAID = frozenset({"timeout", "holdout"})


def canonical(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same document with keys in order, defaults left out and durations in seconds."""
    result = _ordered(document, "document", _TOP)
    result["steps"] = _steps(places(document))
    return _in_order(result, list(document_schema()["properties"]))


def dumps(document: Mapping[str, Any]) -> str:
    """The canonical document as indented JSON text with a newline at its end."""
    return json.dumps(canonical(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def checksum(document: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical document, in hexadecimal."""
    return hashlib.sha256(dumps(document).encode("utf-8", "surrogatepass")).hexdigest()


def _steps(found: Sequence[Place]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    expected = 1
    for position, place in enumerate(found):
        result.append(_step(place, expected, following(found, position)))
        expected = place.number + 1
    return result


def _step(place: Place, expected: int, after: str) -> dict[str, Any]:
    step = _ordered(place.step, "step", _STEP)
    step.pop("number", None)
    step.pop("key", None)
    if place.number != expected:
        step["number"] = place.number
    if place.key != usual_key(place.number, place.parent, place.branch):
        step["key"] = place.key
    if step.get("if") is True and step.get("type") != "condition":
        del step["if"]
    if step.get("next") in ("next", after):
        del step["next"]
    if step.get("type") in _BLOCKS and isinstance(step.get("with"), Mapping):
        step["with"] = _block(place)
    return _in_order(step, list(_properties("step")))


def _block(place: Place) -> dict[str, Any]:
    """The parameters of a block, the steps inside it told like those of the top level."""
    kind = place.step["type"]
    block = _ordered(place.step["with"], kind, _BLOCKS[kind])
    lists: dict[str, list[Place]] = {}
    for each in inside(place):
        lists.setdefault(each.branch, []).append(each)
    if kind == "loop":
        block["steps"] = _steps(lists.get("", []))
    elif isinstance(block.get("branches"), list):
        block["branches"] = [_branch(branch, lists) for branch in block["branches"]]
    return _in_order(block, list(_properties(kind)))


def _branch(given: Any, lists: Mapping[str, list[Place]]) -> Any:
    if not isinstance(given, Mapping):
        return given
    branch = _ordered(given, "branch", {"optional": (_sorted, False)})
    branch["steps"] = _steps(lists.get(str(given.get("name", "")), []))
    if branch.get("if") is True:
        del branch["if"]
    return _in_order(branch, list(_properties("branch")))


def _targets(targets: Any) -> dict[str, Any]:
    """Only the outcomes that lead elsewhere than they would anyway, and those that must always be said."""
    return {
        outcome: target
        for outcome, target in sorted(targets.items())
        if outcome in _SAID or target != ("fail" if outcome == "error" else "next")
    }


def _ordered(value: Mapping[str, Any], kind: str, converts: Mapping[str, tuple[Convert, Any]]) -> dict[str, Any]:
    """Convert each property, leave out defaults, and put the rest in the schema's order."""
    result: dict[str, Any] = {}
    for key, item in value.items():
        convert, default = converts.get(key, (_sorted, None))
        converted = convert(item)
        if not _is_default(key, converted, default):
            result[key] = converted
    return _in_order(result, list(_properties(kind)))


def _is_default(key: str, value: Any, default: Any) -> bool:
    if value is None or (key in _DROPPED_WHEN_EMPTY and not value):
        return True
    return value == default and isinstance(value, bool) is isinstance(default, bool)


def _properties(kind: str) -> Sequence[str]:
    schema = document_schema()
    if kind == "document":
        return list(schema["properties"])
    if kind == "delay":
        return list(schema["$defs"]["delay"]["oneOf"][1]["properties"])
    if kind == "branch":
        return list(schema["$defs"]["parallel"]["properties"]["branches"]["items"]["properties"])
    if kind == "subject":
        return ["model", "as"]
    return list(schema["$defs"][kind]["properties"])


def _in_order(value: dict[str, Any], order: Sequence[str]) -> dict[str, Any]:
    known = {key: value[key] for key in order if key in value}
    return {**known, **{key: value[key] for key in sorted(value) if key not in known}}


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _sorted(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def _list_of(kind: str, converts: Mapping[str, tuple[Convert, Any]]) -> Convert:
    return lambda items: [_ordered(item, kind, converts) for item in items]


def _object(kind: str, converts: Mapping[str, tuple[Convert, Any]]) -> Convert:
    return lambda value: _ordered(value, kind, converts)


def _duration(value: Any) -> Any:
    """Seconds, whole where they are; templates and what cannot be read stay as they are."""
    if is_dynamic(value):
        return value
    try:
        seconds = parse_duration(value)
    except DurationError:
        return value
    return int(seconds) if seconds.is_integer() else seconds


def _delay(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return _duration(value)
    result = _ordered(value, "delay", _DELAY)
    if not result:
        return 0
    return result["for"] if set(result) == {"for"} else result


def _retry(value: Any) -> Any:
    rules = [_ordered(rule, "retrier", _RETRIER) for rule in _as_list(value)]
    return rules[0] if len(rules) == 1 else rules


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _subject(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    model = value.get("model")
    alias = value.get("as")
    if alias is None or (isinstance(model, str) and alias == model.rpartition(".")[2]):
        return model
    return _ordered(value, "subject", {})


def _reentry(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {k: _duration(v) if k == "after" else _sorted(v) for k, v in sorted(value.items())}


_SECONDS: tuple[Convert, Any] = (_duration, None)
_DELAY: Mapping[str, tuple[Convert, Any]] = {
    "for": (_duration, 0),
    "from": (_sorted, "previous"),
    "jitter": (_duration, 0),
    "if_past": (_sorted, "now"),
}
_RETRIER: Mapping[str, tuple[Convert, Any]] = {"delay": _SECONDS, "max_delay": _SECONDS}
_STEP: Mapping[str, tuple[Convert, Any]] = {
    "delay": (_delay, 0),
    "on": (_targets, None),
    "retry": (_retry, None),
    "timeout": _SECONDS,
    "await": (_sorted, "done"),
}
_JOINING: Mapping[str, tuple[Convert, Any]] = {
    "join": (_sorted, "all"),
    "cancel_rest": (_sorted, True),
    "on_branch_error": (_sorted, "fail"),
}
_BLOCKS: Mapping[str, Mapping[str, tuple[Convert, Any]]] = {
    "parallel": _JOINING,
    "loop": {
        **_JOINING,
        "as": (_sorted, ITEM),
        "index": (_sorted, INDEX),
        "max": (_sorted, MOST_ITERATIONS),
        "concurrency": (_sorted, 1),
        "tolerate": (_sorted, 0),
    },
}
_SETTINGS: Mapping[str, tuple[Convert, Any]] = {
    "step_timeout": _SECONDS,
    "expires_after": _SECONDS,
    "retry": (_retry, None),
    "versioning": (_sorted, "follow"),
    "log": (_sorted, "all"),
    "enabled": (_sorted, True),
}
_TRIGGER: Mapping[str, tuple[Convert, Any]] = {
    "reentry": (_reentry, "while_active"),
    "every": _SECONDS,
    "debounce": _SECONDS,
    "silence": _SECONDS,
    "automatic": (_sorted, False),
    "enabled": (_sorted, True),
}
_TOP: Mapping[str, tuple[Convert, Any]] = {
    "subject": (_subject, None),
    "variables": (_list_of("variable", {"required": (_sorted, False)}), None),
    "triggers": (_list_of("trigger", _TRIGGER), None),
    "exit": (_list_of("exit", {}), None),
    "goals": (_list_of("goal", {"within": _SECONDS, "exit": (_sorted, False)}), None),
    "settings": (_object("settings", _SETTINGS), None),
    "edges": (_list_of("edge", {"on": (_sorted, "next")}), None),
}
