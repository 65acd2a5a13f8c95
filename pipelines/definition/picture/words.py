"""A pipeline in words: for those who do not see the picture, and for every sentence about a change."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..delays import DelayError, parse_delay
from ..layout import Place, inner_lists, inside, places

LONGEST_CONDITION: Final = 120
_OPERATORS: Final = {
    "equals": "is",
    "not_equals": "is not",
    "greater_than": ">",
    "less_than": "<",
    "greater_or_equal": "≥",
    "less_or_equal": "≤",
    "in_list": "is one of",
    "not_in_list": "is none of",
}
_OUTCOMES: Final = {"true": "yes", "false": "no", "next": "", "default": "otherwise", "skipped": "if skipped"}


def describe(document: Mapping[str, Any], *, labels: Mapping[str, str]) -> str:
    """The steps in sentences, in their order, what is nested in parentheses."""
    found = places(document)
    if not found:
        return "No steps yet."
    starts = start_words(document)
    opening = f"Begins: {starts}. " if starts else ""
    return opening + _sentences(found, labels)


def _sentences(found: Sequence[Place], labels: Mapping[str, str]) -> str:
    return " ".join(
        f"{row}. {step_title(place.step, labels)} ({wait_words(place.step) or 'immediately'}){_inside(place, labels)}."
        for row, place in enumerate(found, start=1)
    )


def _inside(place: Place, labels: Mapping[str, str]) -> str:
    parts = []
    for name, steps in scopes_of(place):
        text = _sentences(steps, labels).removesuffix(".")
        parts.append(f"{name}: {text}" if name else text)
    return f" — {'; '.join(parts)}" if parts else ""


def scopes_of(place: Place) -> list[tuple[str, list[Place]]]:
    """The lists of steps inside a block, each with the name of its branch; a loop has one without a name."""
    found = inside(place)
    return [
        (inner.branch, [each for each in found if each.branch == inner.branch]) for inner in inner_lists(place.step)
    ]


def step_title(step: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The name of a step, else what it does."""
    kind = str(step.get("type") or "")
    if step.get("name"):
        return str(step["name"])
    if kind == "condition" and step.get("if") is not None:
        return condition_words(step["if"])
    return str(labels.get(kind) or kind.replace("_", " ") or "step")


def wait_words(step: Mapping[str, Any]) -> str:
    """How long a step waits, short; empty when it does not."""
    try:
        delay = parse_delay(step.get("delay"))
    except (DelayError, ValueError):
        return "unreadable delay"
    if delay.is_zero:
        return ""
    said = delay.describe()
    return f"after {said.removesuffix(' after the previous step')}" if delay.is_plain_seconds else said


def outcome_words(outcome: str) -> str:
    """The label of an outcome as people read it."""
    return _OUTCOMES.get(outcome, outcome.replace("_", " "))


def condition_words(condition: Any) -> str:
    """A condition in one line, shortened when it is long."""
    said = _condition(condition)
    return said if len(said) <= LONGEST_CONDITION else f"{said[: LONGEST_CONDITION - 1]}…"


def _condition(condition: Any) -> str:
    if isinstance(condition, str):
        return condition.strip("={} ")
    if isinstance(condition, list):
        return " and ".join(map(_condition, condition))
    if not isinstance(condition, Mapping):
        return str(condition)
    for name, between in (("all", " and "), ("any", " or ")):
        if name in condition:
            return between.join(map(_condition, _list(condition[name]))) or name
    if "not" in condition:
        return f"not ({_condition(condition['not'])})"
    operator = str(condition.get("operator", ""))
    parts = [str(condition.get("field", "")), _OPERATORS.get(operator, operator.replace("_", " "))]
    if "value" in condition:
        parts.append(_value(condition["value"]))
    return " ".join(part for part in parts if part) or "a condition"


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def start_words(document: Mapping[str, Any]) -> str:
    """What lets runs begin, such as "new contact, by hand"."""
    said = [trigger_words(each) for each in _list(document.get("triggers")) if isinstance(each, Mapping)]
    return ", ".join(dict.fromkeys(said))


def trigger_words(trigger: Mapping[str, Any]) -> str:
    """One trigger in a few words."""
    kind = str(trigger.get("type", ""))
    model = str(trigger.get("model") or "record").rpartition(".")[2].replace("_", " ")
    match kind:
        case "created":
            return f"new {model}"
        case "updated" | "deleted":
            return f"{model} {kind}"
        case "event":
            return str(trigger.get("event") or "event").replace("_", " ")
        case "cron":
            every = trigger.get("every")
            return f"every {every}" if every and not trigger.get("cron") else f"cron {trigger.get('cron', '')}".strip()
        case "manual":
            return "by hand"
        case "segment":
            return f"segment {trigger.get('event') or trigger.get('segment') or ''}".strip()
        case _:
            return kind.replace("_", " ")


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
