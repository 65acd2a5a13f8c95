"""Parameters that a run works out as another type than their action takes: told by name before the action sees them."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from pipelines.actions.base import Input, Kind
from pipelines.definition.program import Step
from pipelines.definition.shapes import parameter_shape
from pipelines.definition.values import ParameterError, Value, compile_value, is_dynamic

# Texts and yes or no are read from anything; of these types nothing else can be made use of.
_HELD: Final = frozenset({"object", "array", "integer", "number"})
_NUMBERS: Final = frozenset({"integer", "number"})


class Held(NamedTuple):
    """A parameter that is worked out and has to be of a type."""

    name: str
    value: Value
    schema: dict[str, Any]
    needed: bool


def held(kind: Kind, step: Step) -> list[Held]:
    """The parameters of a step that must be looked at once they are worked out; hardly a step has any.

    They are those of a type that must fit, and those whose schema says `x-held`.
    """
    known = kind.schema.get("properties", {})
    return [
        Held(name, _compiled(text), dict(known[name]), name in kind.schema.get("required", ()))
        for name, text in step.raw.items()
        if is_dynamic(text) and _is_held(known.get(name, {}))
    ]


def _is_held(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") in _HELD or bool(schema.get("x-held"))


def misfit(parameters: list[Held], visit: Input) -> str:
    """What is wrong with the first that does not fit, such as `limit: must be a whole number`; empty where all do.

    What cannot be worked out is left to the action to tell.
    """
    for each in parameters:
        try:
            value = _as_number(each.value.evaluate(visit.context), each.schema)
        except ParameterError:
            continue
        if value is None and not each.needed:
            continue
        for message in _told(each, value):
            return f"{each.name}: {message}"
    return ""


def _as_number(value: Any, schema: Mapping[str, Any]) -> Any:
    """What a template wrote as a text; an empty one is none."""
    if not isinstance(value, str) or schema.get("type") not in _NUMBERS:
        return value
    try:
        if not value.strip():
            return None
        return int(value) if schema["type"] == "integer" else float(value)
    except ValueError:
        return value


def _told(parameter: Held, value: Any) -> Iterator[str]:
    """Of its type and bounds; what stands in a list or an object the action looks at."""
    schema = {"type": "object", "properties": {parameter.name: parameter.schema}}
    for problem in parameter_shape({parameter.name: value}, schema=schema, at=(), literal=True):
        if problem.path == parameter.name:
            yield problem.message


@lru_cache(maxsize=1_000)
def _compiled(text: str) -> Value:
    return compile_value(text)
