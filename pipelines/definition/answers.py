"""What people answer in a form: cleaned by the type of each field, with a sentence for each that does not fit."""

import datetime as dt
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from .forms import FormField, Option, parse_form
from .values import is_dynamic

LONGEST: Final = {"text": 1_000, "textarea": 20_000, "email": 254, "url": 2_000}
_EMAIL = re.compile(r"[^\s@<>\"',;]+@[^\s@<>\"',;]+\.[^\s@<>\"',;.]+")
_YES: Final = frozenset({"true", "yes", "on", "1"})
_NO: Final = frozenset({"false", "no", "off", "0"})
# As programs write it, or as copied from the address of its page.
_RECORD = re.compile(r"([a-z_]+)\.([a-z_]+)[:/](\d{1,18})")
_RECORD_PAGE = re.compile(r"(?:https?://[^/\s]+)?/admin/([a-z_]+)/([a-z_]+)/(\d{1,18})/(?:change/)?(?:[?#].*)?")

Find = Callable[[Any], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Lookups:
    """How people and records are found; each answers what later steps may read of it, or None."""

    user: Find = lambda wanted: None
    record: Find = lambda wanted: None


@dataclass(frozen=True, slots=True)
class Answers:
    """The cleaned values by name, and a sentence by name for each that was refused."""

    values: Mapping[str, Any]
    errors: Mapping[str, str] = field(default_factory=dict)


class _Refused(Exception):
    """An answer that does not fit, with the sentence."""


def clean_answers(
    fields: Sequence[FormField], given: Mapping[str, Any], *, zone: dt.tzinfo = dt.UTC, lookups: Lookups | None = None
) -> Answers:
    """Check every answer; times without a zone are read in `zone` and kept in UTC.

    A field left empty is None, an empty list or, for yes and no, false.
    """
    lookups = lookups or Lookups()
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    known = {each.name for each in fields}
    for name in given:
        if name not in known:
            errors[str(name)] = "The form has no such field."
    for each in fields:
        try:
            values[each.name] = _clean(each, given.get(each.name), zone, lookups)
        except _Refused as refused:
            errors[each.name] = str(refused)
    return Answers(values, errors)


def prefilled(
    fields: Sequence[FormField], *, zone: dt.tzinfo = dt.UTC, lookups: Lookups | None = None
) -> dict[str, Any]:
    """The defaults that fit their fields; one that does not is left empty rather than shown."""
    lookups = lookups or Lookups()
    found: dict[str, Any] = {}
    for each in fields:
        if each.default is None:
            continue
        try:
            found[each.name] = _clean(each, each.default, zone, lookups)
        except _Refused:
            continue
    return found


def misfits(form: object) -> Iterator[tuple[int, str]]:
    """(position, sentence) for each default of a form as written that its field will never show.

    Nothing is said of what is filled in later, nor of people and records, which only the team knows.
    """
    for index, each in enumerate(form) if isinstance(form, list | tuple) else ():
        parts = (each.get(name) for name in ("default", "options", "min", "max")) if isinstance(each, Mapping) else ()
        if any(_is_filled_in(part) for part in parts):
            continue
        for question in parse_form([each]):
            if question.type not in ("user", "record") and not _is_blank(question.default):
                try:
                    _clean(question, question.default, dt.UTC, Lookups())
                except _Refused as refused:
                    yield index, str(refused)


def _is_filled_in(value: object) -> bool:
    """Whether a part of a field, or anything in its list, is worked out when somebody is asked."""
    parts = value if isinstance(value, list | tuple) else [value]
    inner = [part for each in parts for part in (each.values() if isinstance(each, Mapping) else [each])]
    return any(is_dynamic(part) for part in inner)


def _clean(question: FormField, value: Any, zone: dt.tzinfo, lookups: Lookups) -> Any:
    if _is_blank(value):
        if question.required:
            raise _Refused(_NEEDED.get(question.type, "This is needed."))
        return [] if question.type == "multiselect" else False if question.type == "boolean" else None
    match question.type:
        case "text" | "textarea" | "email" | "url":
            return _text(question, value)
        case "number":
            return _number(question, value)
        case "boolean":
            return _boolean(value)
        case "date":
            return _date(question, value)
        case "datetime":
            return _datetime(question, value, zone)
        case "select":
            return _option(question, value).value
        case "multiselect":
            return _options(question, value)
        case "user":
            return _found(lookups.user(value), "Choose a member of the team.")
        case _:
            return _record(question, value, lookups)


_NEEDED: Final = {"boolean": "Answer yes or no.", "select": "Choose one.", "multiselect": "Choose at least one."}


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value in ([], ())


def _text(question: FormField, value: Any) -> str:
    if not isinstance(value, str):
        raise _Refused("Write a text.")
    text = value.strip()
    if "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise _Refused("This contains a character that cannot be stored.")
    if question.type != "textarea" and "\n" in text:
        raise _Refused("Write it in one line.")
    most = min(LONGEST[question.type], question.high if isinstance(question.high, int) else LONGEST["textarea"])
    if len(text) > most:
        raise _Refused(f"Write at most {most} characters; these are {len(text)}.")
    if isinstance(question.low, int) and len(text) < question.low:
        raise _Refused(f"Write at least {question.low} characters.")
    if question.type == "email" and not _EMAIL.fullmatch(text):
        raise _Refused("Write an email address, such as ann@example.com.")
    if question.type == "url" and not _is_web_address(text):
        raise _Refused("Write a web address that begins with https:// or http://.")
    return text


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", text)
    except ValueError:
        return False


def _number(question: FormField, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _Refused("Write a number.")
    try:
        number = _read_number(value)
    except ValueError:
        raise _Refused("Write a number.") from None
    if not math.isfinite(number) or abs(number) > 1e15:
        raise _Refused("This number is too large.")
    _within(question, number)
    return number


def _read_number(value: int | float | str) -> int | float:
    if not isinstance(value, str):
        return value
    text = value.strip().replace(",", ".") if value.count(",") == 1 and "." not in value else value.strip()
    if len(text) > 40 or not text.isascii() or "_" in text:
        raise ValueError
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)


def _boolean(value: Any) -> bool:
    word = str(value).strip().lower()
    if word in _YES or word in _NO:
        return word in _YES
    raise _Refused("Answer yes or no.")


def _date(question: FormField, value: Any) -> str:
    try:
        day = dt.date.fromisoformat(str(value).strip()[:10]) if len(str(value).strip()) <= 32 else None
    except ValueError:
        day = None
    if day is None:
        raise _Refused("Write a date such as 2030-01-31.")
    _within(question, day)
    return day.isoformat()


def _datetime(question: FormField, value: Any, zone: dt.tzinfo) -> str:
    try:
        moment = _in_zone(str(value).strip()[:40], zone)
    except ValueError:
        raise _Refused("Write a date and a time such as 2030-01-31 09:00.") from None
    for bound, is_low in ((question.low, True), (question.high, False)):
        limit = _moment_or_none(bound, zone)
        if limit is not None and (moment < limit if is_low else moment > limit):
            told = f"{limit.astimezone(zone):%Y-%m-%d %H:%M}"
            raise _Refused(f"Choose a time not before {told}." if is_low else f"Choose a time not after {told}.")
    return moment.astimezone(dt.UTC).isoformat()


def _in_zone(text: str, zone: dt.tzinfo) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    if not 1900 <= moment.year <= 9998:
        raise ValueError
    return moment


def _moment_or_none(value: Any, zone: dt.tzinfo) -> dt.datetime | None:
    try:
        return _in_zone(str(value), zone) if value is not None else None
    except ValueError:
        return None


def _option(question: FormField, value: Any) -> Option:
    for option in question.options:
        if option.value == value and isinstance(option.value, bool) == isinstance(value, bool):
            return option
    for option in question.options:
        # A page sends texts, whatever the options are.
        if isinstance(value, str) and str(option.value) == value:
            return option
    raise _Refused("Choose one of the options.")


def _options(question: FormField, value: Any) -> list[Any]:
    given = value if isinstance(value, list | tuple) else [value]
    if len(given) > len(question.options):
        raise _Refused("Choose among the options, each once.")
    chosen = list(dict.fromkeys(_option(question, each).value for each in given))
    if isinstance(question.low, int) and len(chosen) < question.low:
        raise _Refused(f"Choose at least {question.low}.")
    if isinstance(question.high, int) and len(chosen) > question.high:
        raise _Refused(f"Choose at most {question.high}.")
    return chosen


def _record(question: FormField, value: Any, lookups: Lookups) -> Mapping[str, Any]:
    sentence = "Choose a record of the team, such as contacts.contact:5."
    if isinstance(value, str):
        match = _RECORD.fullmatch(value.strip()) or _RECORD_PAGE.fullmatch(value.strip())
        value = {"type": f"{match[1]}.{match[2]}", "id": int(match[3])} if match else None
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        raise _Refused(sentence)
    allowed = [str(option.value) for option in question.options]
    if allowed and value["type"] not in allowed:
        raise _Refused(f"Choose a record of {' or '.join(allowed)}.")
    return _found(lookups.record(value), sentence)


def _found(found: Mapping[str, Any] | None, sentence: str) -> Mapping[str, Any]:
    if found is None:
        raise _Refused(sentence)
    return dict(found)


def _within(question: FormField, value: Any) -> None:
    low, high = (_same_type(bound, value) for bound in (question.low, question.high))
    less, more = ("earlier", "later") if isinstance(value, dt.date) else ("less", "more")
    if low is not None and value < low:
        raise _Refused(f"This must be {low} or {more}.")
    if high is not None and value > high:
        raise _Refused(f"This must be {high} or {less}.")


def _same_type(bound: Any, value: Any) -> Any:
    """A bound as the value is, or None when a template made something else of it."""
    if isinstance(value, dt.date):
        try:
            return dt.date.fromisoformat(str(bound)[:10]) if bound is not None else None
        except ValueError:
            return None
    return bound if isinstance(bound, int | float) and not isinstance(bound, bool) else None
