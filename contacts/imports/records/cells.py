"""From a cell to the value of a column or of an own field, or to the sentence why not. No database."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.core.exceptions import ValidationError

from contacts.imports.records.shape import Shape
from contacts.models import Deal
from contacts.own_fields import held_text
from contacts.record_fields import TYPES, InvalidValues

NEEDED: Final = "A value is needed."
_AMOUNT: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_STAGES: Final = {spelled.lower(): value for value, label in Deal.Stage.choices for spelled in (value, str(label))}


def same_text(left: str, right: str) -> bool:
    """Whether two cells say the same, whatever a spreadsheet did to the ends of their lines."""
    return left == right or _lines(left) == _lines(right)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def column_value(shape: Shape, name: str, text: str) -> Any:
    """The value of a column; an empty text takes it away. Raises ValueError with a sentence."""
    field: Any = shape.model._meta.get_field(name)
    if not text:
        if field.null:
            return None
        if not field.blank:
            raise ValueError(NEEDED)
        return ""
    _refuse_control(text)
    if name in _READERS:
        return _READERS[name](text)
    try:
        value = field.to_python(text)
        field.run_validators(value)
    except ValidationError as error:
        raise ValueError(error.messages[0]) from None
    return value


def own_value(shape: Shape, target: str, text: str, held: Any) -> Any:
    """The value of an own field of its type; what nobody defined keeps the type it has. Raises ValueError."""
    field = shape.own.get(target)
    if not text:
        if field is not None and field.get("required"):
            raise ValueError(NEEDED)
        return None
    _refuse_control(text)
    if field is None:
        return _free(text, held)
    try:
        return held_text(field=field, text=text)
    except InvalidValues as error:
        raise ValueError(error.problems[0][1]) from None


def _refuse_control(text: str) -> None:
    if any(character < " " and character not in "\t\r\n" for character in text):
        raise ValueError("Control characters are not allowed.")


def _free(text: str, held: Any) -> Any:
    if isinstance(held, list):
        raise ValueError("What stands here is a list, which no cell can change.")
    kind = "boolean" if isinstance(held, bool) else "number" if isinstance(held, int | float) else "text"
    try:
        return TYPES[kind](text)
    except ValueError:
        return TYPES["text"](text)


def _stage(text: str) -> str:
    stage = _STAGES.get(text.lower())
    if stage is None:
        raise ValueError(f"“{text[:40]}” is no stage: use {', '.join(Deal.Stage.values)}.")
    return stage


def _amount(text: str) -> Decimal:
    if not _AMOUNT.fullmatch(text):
        raise ValueError("Write an amount as 1234.50: digits, and at most two behind a point.")
    return Decimal(text)


def _currency(text: str) -> str:
    if not _CURRENCY.fullmatch(text.upper()):
        raise ValueError("Use three letters, such as EUR.")
    return text.upper()


def _day(text: str) -> date:
    return date.fromisoformat(TYPES["date"](text))


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "stage": _stage,
    "amount": _amount,
    "currency": _currency,
    "expected_close": _day,
}
