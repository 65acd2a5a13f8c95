"""The fields of custom record types: what a definition may say, and values held to it."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from contacts.custom import MAX_BYTES
from crm.channels.email import valid_address

KEY: Final = re.compile(r"^[a-z][a-z0-9_]{0,39}$")
MOST_FIELDS: Final = 100
MOST_OPTIONS: Final = 500
LONGEST_OPTION: Final = 200
LONGEST: Final = 10_000
LONGEST_NUMBER: Final = 60
# Names that every record has anyway.
TAKEN: Final = frozenset({"id", "model", "team", "team_id", "type", "created_at", "updated_at", "custom", "values"})

Problems = list[tuple[str, str]]


class InvalidValues(ValueError):
    """Values that do not fit their type; `problems` are (field, sentence)."""

    def __init__(self, problems: Problems) -> None:
        super().__init__("; ".join(f"{path}: {message}" for path, message in problems))
        self.problems = problems


def definition_problems(fields: object) -> Problems:
    """What is wrong with the definition of a type's fields, as (path, sentence)."""
    if not isinstance(fields, list):
        return [("", "The fields are a list of objects.")]
    if len(fields) > MOST_FIELDS:
        return [("", f"A type has at most {MOST_FIELDS} fields.")]
    found: Problems = []
    seen: set[str] = set()
    for index, given in enumerate(fields):
        at = f"[{index}]"
        if not isinstance(given, Mapping):
            found.append((at, "A field is an object with key, label and type."))
            continue
        found += [(f"{at}.{name}", message) for name, message in _field_problems(given)]
        key = str(given.get("key"))
        if key in seen:
            found.append((f"{at}.key", f"The key {key!r} is used twice."))
        seen.add(key)
    return found


def _field_problems(given: Mapping[str, Any]) -> Problems:
    found: Problems = []
    known = {"key", "label", "type", "required", "options", "personal"}
    found += [(str(name), "This property is not known.") for name in given if name not in known]
    key = given.get("key")
    if not isinstance(key, str) or not KEY.fullmatch(key):
        found.append(("key", "Use lower-case letters, digits and _, beginning with a letter."))
    elif key in TAKEN:
        found.append(("key", f"{key!r} already has a meaning: choose another key."))
    if not isinstance(given.get("label", ""), str) or len(given.get("label", "")) > 80:
        found.append(("label", "A label is a text of at most 80 characters."))
    if given.get("type") not in TYPES:
        found.append(("type", f"Choose one of {', '.join(TYPES)}."))
    found += [
        (name, "Use true or false.")
        for name in ("required", "personal")
        if not isinstance(given.get(name, False), bool)
    ]
    problem = _options_problem(given.get("options"), is_select=given.get("type") == "select")
    return [*found, ("options", problem)] if problem else found


def _options_problem(options: object, *, is_select: bool) -> str:
    if not is_select:
        return "" if options is None else "Only a select has options."
    if not isinstance(options, list) or not options or not all(isinstance(each, str) and each for each in options):
        return "A select needs a list of texts."
    if len(options) > MOST_OPTIONS:
        return f"At most {MOST_OPTIONS} options."
    if any(len(each) > LONGEST_OPTION for each in options):
        return f"An option has at most {LONGEST_OPTION} characters."
    return ""


def checked(fields: Sequence[Mapping[str, Any]], values: Mapping[str, Any], *, partial: bool = False) -> dict[str, Any]:
    """Values as they are stored: known keys, each of its type; raises InvalidValues with every problem.

    With `partial` nothing is missed that is left out, and a null empties a field.
    """
    known = {str(each["key"]): each for each in fields}
    found: dict[str, Any] = {}
    problems: Problems = [(str(key)[:80], "There is no such field.") for key in values if key not in known]
    for key, given in known.items():
        if key not in values and (partial or not given.get("required")):
            continue
        value = values.get(key)
        if value is None or value == "":
            if given.get("required"):
                problems.append((key, "A value is needed."))
            found[key] = None
            continue
        try:
            found[key] = _typed(given, value)
        except (TypeError, ValueError, ArithmeticError) as error:
            problems.append((key, str(error)))
    if not problems and _size(found) > MAX_BYTES:
        problems = [("values", f"A record may hold {MAX_BYTES // 1024} KB.")]
    if problems:
        raise InvalidValues(problems)
    return found


def _size(values: Mapping[str, Any]) -> int:
    return sum(len(str(value).encode()) + len(key) for key, value in values.items())


def _typed(given: Mapping[str, Any], value: Any) -> Any:
    typed = TYPES[str(given["type"])](value)
    if given["type"] == "select" and typed not in given["options"]:
        raise ValueError(f"Choose one of {', '.join(given['options'][:20])}.")
    return typed


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("This is not a text.")
    text = str(value)
    if len(text) > LONGEST:
        raise ValueError(f"At most {LONGEST:,} characters.")
    if "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("This contains a character that cannot be stored.")
    return text


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("This is not a number.")
    if isinstance(value, str):
        if len(value) > LONGEST_NUMBER:
            raise ValueError(f"At most {LONGEST_NUMBER} characters.")
        try:
            value = Decimal(value.strip())
        except ArithmeticError:
            raise ValueError("This is not a number.") from None
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("A number must be finite.")
    return int(value) if number.is_integer() and abs(number) < 2**53 else number


def _integer(value: Any) -> int:
    number = _number(value)
    if not isinstance(number, int):
        raise ValueError("This is not a whole number.")
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ValueError("Use true or false.")
    return value


def _date(value: Any) -> str:
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    try:
        return _iso(value).date().isoformat()
    except ValueError:
        raise ValueError("Write a date as 2027-03-01.") from None


def _datetime(value: Any) -> str:
    try:
        moment = value if isinstance(value, datetime) else _iso(value)
    except ValueError:
        raise ValueError("Write a moment as 2027-03-01T12:00:00+00:00.") from None
    # As everywhere, a moment without a zone is one of UTC.
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).isoformat()


def _iso(value: Any) -> datetime:
    """A whole text that is a date or a moment, and nothing behind it."""
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if not isinstance(value, str):
        raise ValueError("This is not a text.")
    return datetime.fromisoformat(value.strip())


def _email(value: Any) -> str:
    if not valid_address(_text(value)):
        raise ValueError("This is not an email address.")
    return str(value)


def _url(value: Any) -> str:
    if not _text(value).startswith(("https://", "http://")):
        raise ValueError("An address begins with https:// or http://.")
    return str(value)


TYPES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "text": _text,
    "textarea": _text,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
    "select": _text,
    "email": _email,
    "url": _url,
}

# What people read for each type.
LABELS: Final[Mapping[str, str]] = {
    "text": "Text",
    "textarea": "Long text",
    "number": "Number",
    "integer": "Whole number",
    "boolean": "Yes or no",
    "date": "Date",
    "datetime": "Date and time",
    "select": "Choice",
    "email": "Email address",
    "url": "Web address",
}
