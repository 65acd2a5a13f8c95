"""JSON Schema errors as sentences for people, each with the path of the part that is wrong."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError

from .expressions import suggestion
from .values import is_dynamic

Severity = Literal["error", "warning"]
_TYPES = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "nothing",
}
_MOST_OPTIONS = 12
# Whether a text stands where nothing is worked out later.
_Fixed = Callable[[ValidationError], bool]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong or doubtful in a document, and where, such as `steps[2].with.to`."""

    path: str
    message: str
    severity: Severity = "error"


@lru_cache(maxsize=1)
def document_schema() -> dict[str, Any]:
    """The JSON Schema of documents."""
    schema: dict[str, Any] = json.loads(Path(__file__).with_name("schema.json").read_text("utf-8"))
    return schema


@lru_cache(maxsize=1)
def _document_validator() -> Any:
    return Draft202012Validator(document_schema())


def document_shape(document: object) -> Iterator[Problem]:
    """Where the document departs from its schema; only parameters and delays may be worked out later."""
    yield from _problems(_document_validator().iter_errors(document), [], fixed=_is_fixed)


def parameter_shape(
    parameters: object, *, schema: Mapping[str, Any], at: Iterable[str | int], literal: bool = False
) -> Iterator[Problem]:
    """Where parameters depart from an action's schema; texts worked out later are not judged, unless all is literal.

    A property with `x-fixed` cannot be worked out later, nor can anything in it.
    """
    validator = _parameter_validator(schema)
    if validator is None:
        yield Problem(spoken_path(at), "the action has a broken schema: tell its author")
        return
    yield from _problems(
        validator.iter_errors(parameters), list(at), fixed=lambda error: literal or _is_marked(error, schema)
    )


def _is_marked(error: ValidationError, schema: Mapping[str, Any]) -> bool:
    named = list(error.absolute_path)[:1]
    return bool(named) and bool(schema.get("properties", {}).get(named[0], {}).get("x-fixed"))


def _parameter_validator(schema: Mapping[str, Any]) -> Any:
    """The validator of an action's schema, None for a broken one; judging a schema costs more than judging by it."""
    try:
        text = json.dumps(schema)
    except (TypeError, ValueError):
        return None
    return _validator_of(text)


@lru_cache(maxsize=512)
def _validator_of(text: str) -> Any:
    schema = json.loads(text)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return None
    return Draft202012Validator(schema)


def spoken_path(parts: Iterable[str | int]) -> str:
    """A path for people: `steps[2].with.to`."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


# Parameters by which a block, a switch or a wait is built: nothing of them can be worked out while it runs.
_STRUCTURE = frozenset(
    {"branches", "cases", "join", "cancel_rest", "on_branch_error", "concurrency", "export"}
    | {"as", "index", "max", "tolerate", "count"}
)
# The length of the path to an entry of a list: index, "with", name, index.
_OF_A_LIST = 4


def _is_fixed(error: ValidationError) -> bool:
    path = list(error.absolute_path)
    # The part inside of the innermost step.
    own = path[len(path) - path[::-1].index("steps") :] if "steps" in path else path
    if own[1:2] == ["with"] and len(own) > 2:
        return own[2] in _STRUCTURE or (own[2] == "events" and len(own) <= _OF_A_LIST)
    return "delay" not in own


def _problems(errors: Iterable[ValidationError], at: list[str | int], *, fixed: _Fixed) -> Iterator[Problem]:
    for error in errors:
        for leaf in _leaves(error, fixed):
            if fixed(leaf) or not is_dynamic(leaf.instance):
                yield Problem(spoken_path([*at, *leaf.absolute_path]), _sentence(leaf))


def _leaves(error: ValidationError, fixed: _Fixed) -> Iterator[ValidationError]:
    """The errors worth telling: of alternatives, those of the one that was probably meant."""
    if error.validator not in ("oneOf", "anyOf") or not error.context:
        yield error
        return
    if is_dynamic(error.instance) and not fixed(error):
        return
    if all(each.validator == "required" for each in error.context):
        yield error
        return
    branch = min(_branches(error), key=lambda errors: _distance(error, errors))
    if all(_is_type_mismatch(error, each) for each in branch):
        yield error
        return
    for each in branch:
        yield from _leaves(each, fixed)


def _branches(error: ValidationError) -> list[list[ValidationError]]:
    branches: dict[object, list[ValidationError]] = {}
    for each in error.context:
        branches.setdefault(each.schema_path[0], []).append(each)
    return list(branches.values())


def _distance(parent: ValidationError, errors: list[ValidationError]) -> tuple[int, int, int]:
    mismatches = sum(_is_type_mismatch(parent, each) for each in errors)
    shallow = sum(len(each.absolute_path) == len(parent.absolute_path) for each in errors)
    return mismatches, shallow, len(errors)


def _is_type_mismatch(parent: ValidationError, error: ValidationError) -> bool:
    if len(error.absolute_path) != len(parent.absolute_path):
        return False
    if error.validator in ("oneOf", "anyOf"):
        return all(_is_type_mismatch(error, each) for each in error.context)
    if error.validator in ("enum", "const"):
        values = error.validator_value if error.validator == "enum" else [error.validator_value]
        return not any(type(value) is type(error.instance) for value in values)
    return bool(error.validator == "type")


def _sentence(error: ValidationError) -> str:
    describe = _SENTENCES.get(str(error.validator))
    return "this is not valid here" if describe is None else describe(error)


def _type(error: ValidationError) -> str:
    wanted = error.validator_value
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    return f"must be {' or '.join(_TYPES.get(name, name) for name in names)}"


def _alternatives(error: ValidationError) -> str:
    if not error.context:
        given = error.instance if isinstance(error.instance, Mapping) else ()
        names = [name for form in error.validator_value for name in form.get("required", ()) if name in given]
        both = " and ".join(f"'{name}'" for name in names)
        return f"only one of {both} may be given" if names else "this matches more than one of the allowed forms"
    missing = [name for each in error.context for name in _missing(each)]
    wanted = list(dict.fromkeys(_wanted(error)))
    if missing and not wanted:
        return f"one of {', '.join(missing)} is needed"
    return f"must be {' or '.join(wanted)}" if wanted else "this is not one of the allowed forms"


def _wanted(error: ValidationError) -> Iterator[str]:
    for each in error.context:
        if each.validator in ("oneOf", "anyOf"):
            yield from _wanted(each)
        elif each.validator == "type":
            yield _type(each).removeprefix("must be ")
        elif each.validator == "enum":
            yield _options(each.validator_value)


def _missing(error: ValidationError) -> list[str]:
    if error.validator != "required":
        return []
    return [f"'{name}'" for name in error.validator_value if name not in error.instance]


def _required(error: ValidationError) -> str:
    name = error.message.split("'")[1] if "'" in error.message else "a property"
    return f"'{name}' is missing"


def _additional(error: ValidationError) -> str:
    known = error.schema.get("properties", {})
    unknown = sorted(str(name)[:60] for name in error.instance if name not in known)
    hint = suggestion(unknown[0], known) if len(unknown) == 1 else ""
    names = ", ".join(f"'{name}'" for name in unknown[:_MOST_OPTIONS])
    return f"unknown propert{'y' if len(unknown) == 1 else 'ies'} {names}{hint}"


def _options(values: Iterable[object]) -> str:
    options = [value if value and isinstance(value, str) else json.dumps(value) for value in values]
    more = ", …" if len(options) > _MOST_OPTIONS else ""
    return f"one of {', '.join(options[:_MOST_OPTIONS])}{more}"


def _enum(error: ValidationError) -> str:
    texts = [value for value in error.validator_value if isinstance(value, str)]
    hint = suggestion(error.instance, texts) if isinstance(error.instance, str) else ""
    return f"must be {_options(error.validator_value)}{_besides(error)}{hint}"


def _besides(error: ValidationError) -> str:
    """What else may stand where one of some words may."""
    parent = error.parent
    others = parent.validator_value if parent is not None and parent.validator == "oneOf" else []
    durations = [' or a duration such as "2d"' for each in others if each.get("$ref") == "#/$defs/duration"]
    numbers = [" or a whole number" for each in others if each.get("type") == "integer"]
    return "".join([*numbers, *durations])


# Patterns of the keys of templates, topics and the like.
_KEYS = re.compile(r"\^\[a-z0-9_-\]\{(\d+),(\d+)\}\$")


def _pattern(error: ValidationError) -> str:
    """What a text must look like, in words; a schema may bring its own sentence as `x-says`."""
    if "x-says" in error.schema:
        return str(error.schema["x-says"])
    key = document_schema()["$defs"]["key"]["pattern"]
    if error.validator_value == key:
        return "must be 1 to 40 small letters, digits and '_', beginning with a letter"
    known = {
        document_schema()["$defs"]["model"]["pattern"]: 'must name a model, as "contacts.contact"',
        document_schema()["$defs"]["duration"]["oneOf"][1]["pattern"]: (
            'must be seconds or a duration such as "3d", "1h30m" or "PT4H"'
        ),
        "^[0-9]{1,3}%$": 'must be a number of rounds, or a share of them such as "10%"',
    }
    keys = _KEYS.fullmatch(error.validator_value)
    if keys:
        return f"must be {keys[1]} to {keys[2]} small letters, digits, '-' and '_'"
    return known.get(error.validator_value, f"must look like {error.validator_value}")


def _not(error: ValidationError) -> str:
    reserved = error.validator_value.get("enum")
    return f"'{error.instance}' is a reserved word" if reserved else "this is not allowed here"


_SENTENCES: Mapping[str, Callable[[ValidationError], str]] = {
    "type": _type,
    "oneOf": _alternatives,
    "anyOf": _alternatives,
    "required": _required,
    "additionalProperties": _additional,
    "unevaluatedProperties": _additional,
    "enum": _enum,
    "const": lambda error: f'must be "{error.validator_value}"',
    "pattern": _pattern,
    "not": _not,
    "minimum": lambda error: f"must be at least {error.validator_value}",
    "maximum": lambda error: f"must be at most {error.validator_value}",
    "exclusiveMinimum": lambda error: f"must be more than {error.validator_value}",
    "exclusiveMaximum": lambda error: f"must be less than {error.validator_value}",
    "minLength": lambda error: (
        "must not be empty" if error.validator_value == 1 else f"must have at least {error.validator_value} characters"
    ),
    "maxLength": lambda error: f"must have at most {error.validator_value} characters",
    "minItems": lambda error: f"needs at least {error.validator_value}",
    "maxItems": lambda error: f"may have at most {error.validator_value}",
    "minProperties": lambda error: "must not be empty",
    "uniqueItems": lambda error: "must not repeat a value",
    "format": lambda error: f"must be a valid {error.validator_value}",
}
