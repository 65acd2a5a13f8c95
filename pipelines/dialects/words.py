"""Words of other products in ours: keys, kinds of records, types of steps, spans of time."""

import re
from collections.abc import Mapping
from typing import Any, Final

LONGEST_KEY = 40
# What a record is called elsewhere.
MODELS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("user", "lead", "contact", "customer", "subscriber", "person", "client"), "contacts.contact"),
    **dict.fromkeys(("opportunity", "deal"), "contacts.deal"),
    **dict.fromkeys(("company", "account", "organization"), "contacts.company"),
    "task": "crm.task",
}
TYPES: Final[Mapping[str, str]] = {
    "email": "send_email", "sms": "send_sms", "push": "send_push", "push_notification": "send_push",
    "whatsapp": "send_whatsapp", "webhook": "call_api", "webhook_call": "call_api", "http": "call_api",
    "http_request": "call_api", "notification": "notify", "delay": "wait", "update_field": "update_record",
    "update_user_profile": "update_record", "update_profile": "update_record", "task": "create_task",
    "add_to_campaign": "enroll", "assignment": "update_record", "user_task": "human_task",
}  # fmt: skip
_VARIABLE_TYPES: Final[Mapping[str, str]] = {
    "text": "string", "integer": "number", "float": "number", "int": "number", "bool": "boolean", "array": "list",
    "json": "object",
}  # fmt: skip
_KNOWN_TYPES: Final = frozenset({"string", "number", "boolean", "datetime", "date", "object", "list", "any"})
_TAKEN: Final = frozenset({"next", "end", "fail"})
_SPAN = re.compile(r"\+?\s*(\d+(?:\.\d+)?)\s*(second|sec|minute|min|hour|hr|day|week)s?", re.IGNORECASE)
_UNITS: Final[Mapping[str, str]] = {
    "second": "s", "sec": "s", "minute": "m", "min": "m", "hour": "h", "hr": "h", "day": "d", "week": "w",
}  # fmt: skip


def snake(text: str) -> str:
    """`firstName`, `first-name` and `First name` as `first_name`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")


def key_of(text: object, *, otherwise: str) -> str:
    """A key made of a name or an id."""
    key = snake(str(text or "")) or otherwise
    if not key[0].isalpha() or key in _TAKEN:
        key = f"{otherwise}_{key}"
    return key[:LONGEST_KEY].rstrip("_")


def type_of(text: object) -> str:
    """Our word for a type of step; an unknown one keeps its own, in our spelling."""
    word = snake(str(text or ""))
    return TYPES.get(word, word)


def model_of(text: object) -> str:
    """The kind of record that a word means; unknown ones are the team's own."""
    word = str(text or "")
    return word if "." in word else MODELS.get(snake(word), f"records.{snake(word)}")


def variable_type(text: object) -> str:
    """Our type of a variable."""
    word = str(text or "any").lower()
    return word if word in _KNOWN_TYPES else _VARIABLE_TYPES.get(word, "any")


def span_of(value: Any) -> Any:
    """Seconds stay seconds, `+2 days` becomes `2d`; with a `unit` beside it, or one in the name of the number."""
    if isinstance(value, str):
        found = _SPAN.fullmatch(value.strip())
        return f"{found[1]}{_UNITS[found[2].lower()]}" if found else value
    if not isinstance(value, Mapping):
        return value
    for name, amount in value.items():
        unit = _UNITS.get(snake(name).removesuffix("s"))
        if unit and isinstance(amount, int | float):
            return f"{number(amount)}{unit}"
    for name in ("duration", "amount", "value", "delay", "for", "seconds"):
        if name in value:
            unit = _UNITS.get(str(value.get("unit", "")).lower().removesuffix("s"))
            amount = value[name]
            return f"{number(amount)}{unit}" if unit and isinstance(amount, int | float) else span_of(amount)
    return dict(value)


def number(amount: float) -> str:
    """Every digit of it, and no exponent: `2592000`, where `:g` says `2.592e+06`."""
    return f"{amount:f}".rstrip("0").rstrip(".") if isinstance(amount, float) else str(int(amount))
