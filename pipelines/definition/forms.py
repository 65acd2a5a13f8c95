"""The form of a human task: its fields as a document describes them, each problem with its path."""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .comparing import is_number
from .values import is_dynamic

TEXTS: Final = frozenset({"text", "textarea", "email", "url"})
CHOICES: Final = frozenset({"select", "multiselect"})
TYPES: Final = (
    "text", "textarea", "number", "boolean", "date", "datetime", "select", "multiselect", "email", "url", "user",
    "record",
)  # fmt: skip
# What `min` and `max` of a type are counted in.
COUNTED: Final = TEXTS | {"multiselect"}
BOUNDED: Final = COUNTED | {"number", "date", "datetime"}
MOST_FIELDS: Final = 50
MOST_OPTIONS: Final = 500
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Names beside the answers in the output of the step.
RESERVED: Final = frozenset({"outcome", "completed_by", "error"})

At = tuple[str | int, ...]
Fault = tuple[At, str]


@dataclass(frozen=True, slots=True)
class Option:
    """One thing to choose; `value` is what later steps read."""

    value: str | int | float | bool
    label: str


@dataclass(frozen=True, slots=True)
class FormField:
    """One question; `low` and `high` are numbers, lengths, counts or ISO dates, by its type."""

    name: str
    type: str
    label: str
    required: bool = False
    options: tuple[Option, ...] = ()
    default: Any = None
    help: str = ""
    low: Any = None
    high: Any = None

    def as_dict(self) -> dict[str, Any]:
        """As programs see it: every key is there."""
        return {
            "name": self.name,
            "type": self.type,
            "label": self.label,
            "required": self.required,
            "options": [{"value": option.value, "label": option.label} for option in self.options],
            "default": self.default,
            "help": self.help,
            "min": self.low,
            "max": self.high,
        }


def parse_form(form: Any) -> tuple[FormField, ...]:
    """The fields of a form as stored, whose templates were filled in; what cannot be read is left out."""
    fields = form if isinstance(form, list | tuple) else ()
    return tuple(_field(each) for each in fields if isinstance(each, Mapping) and not list(_field_faults(each)))


def form_faults(form: Any) -> Iterator[Fault]:
    """Everything wrong with a form as written, with the path inside it; templates are judged when filled in."""
    if not isinstance(form, list | tuple):
        yield (), "a form is a list of fields"
        return
    if len(form) > MOST_FIELDS:
        yield (), f"a form has at most {MOST_FIELDS} fields"
        return
    seen: set[str] = set()
    for index, each in enumerate(form):
        if not isinstance(each, Mapping):
            yield (index,), "a field is an object with a name and a type"
            continue
        for at, message in _field_faults(each):
            yield (index, *at), message
        name = each.get("name")
        if isinstance(name, str):
            if name in seen:
                yield (index, "name"), f"the name '{name}' is used twice"
            seen.add(name)


def _field_faults(field: Mapping[str, Any]) -> Iterator[Fault]:
    name, kind = field.get("name"), field.get("type")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 60:
        yield ("name",), "must be letters, digits and '_', beginning with a letter, at most 60 characters"
    elif name in RESERVED:
        yield ("name",), f"'{name}' already has a meaning: choose another name"
    if kind not in TYPES:
        yield ("type",), f"must be one of {', '.join(TYPES)}"
        return
    yield from _option_faults(str(kind), field.get("options"))
    yield from _bound_faults(str(kind), field)


def _option_faults(kind: str, options: Any) -> Iterator[Fault]:
    if kind in CHOICES and not options:
        yield ("options",), "say what can be chosen"
        return
    if options is None:
        return
    if is_dynamic(options):
        return
    if not isinstance(options, list | tuple):
        yield ("options",), "must be a list"
        return
    if kind not in CHOICES | {"record"} and options:
        yield ("options",), f"a {kind} field has no options"
    if len(options) > MOST_OPTIONS:
        yield ("options",), f"at most {MOST_OPTIONS} options"
    seen: set[str] = set()
    for index, each in enumerate(options):
        value = each.get("value") if isinstance(each, Mapping) else each
        if not isinstance(value, str | int | float) or value == "":
            yield ("options", index), "must be a text, a number or an object with 'value' and 'label'"
        elif str(value) in seen:
            yield ("options", index), f"'{value}' is there twice"
        else:
            seen.add(str(value))


def _bound_faults(kind: str, field: Mapping[str, Any]) -> Iterator[Fault]:
    bounds = {}
    for name in ("min", "max"):
        value = field.get(name)
        if value is None or is_dynamic(value):
            continue
        if kind not in BOUNDED:
            yield (name,), f"a {kind} field has no {name}"
        elif not _fits_type(kind, value):
            yield (name,), _WANTED_BOUND.get(kind, "must be a whole number")
        else:
            bounds[name] = value
    if len(bounds) == 2 and bounds["min"] > bounds["max"]:
        yield ("max",), "must not be less than 'min'"


_WANTED_BOUND: Final = {
    "number": "must be a number",
    "date": 'must be a date such as "2030-01-31"',
    "datetime": 'must be a time such as "2030-01-31T09:00"',
}


def _fits_type(kind: str, value: Any) -> bool:
    if kind == "number":
        return is_number(value)
    if kind in ("date", "datetime"):
        return _is_iso(kind, value)
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_iso(kind: str, value: Any) -> bool:
    try:
        if kind == "date":
            dt.date.fromisoformat(value)
        else:
            dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True


def _field(field: Mapping[str, Any]) -> FormField:
    name, kind = field["name"], field["type"]
    options = field.get("options") or ()
    return FormField(
        name=name,
        type=kind,
        label=str(field.get("label") or spoken_name(name)),
        required=field.get("required") is True,
        options=tuple(_option(each) for each in options) if isinstance(options, list | tuple) else (),
        default=field.get("default"),
        help=str(field.get("help") or ""),
        low=field.get("min"),
        high=field.get("max"),
    )


def _option(option: Any) -> Option:
    if isinstance(option, Mapping):
        return Option(option["value"], str(option.get("label") or option["value"]))
    return Option(option, spoken_name(option) if isinstance(option, str) else str(option))


def spoken_name(name: str) -> str:
    """A name as a label: `callDate` and `call_date` are both "Call date"; texts with spaces stay as they are."""
    if not _NAME.fullmatch(name):
        return name
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").split()
    if not words:
        return name
    text = " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words)
    return text[:1].upper() + text[1:]
