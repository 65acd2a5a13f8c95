"""Values as the columns of records take them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db import models
from django.utils.timezone import get_default_timezone, is_aware, make_aware


def clean(field: Any, value: Any) -> Any:
    """The value as the column keeps it; raises ValueError with a sentence for one that it refuses."""
    if field.is_relation:
        return _key(field.name, value)
    if value is None and not field.null:
        value = ""
    try:
        cleaned = field.to_python(_rounded(field, value))
        field.run_validators(cleaned)
        if field.choices and cleaned not in {choice for choice, _ in field.flatchoices}:
            raise ValueError(f"{value!r} is not one of the choices")
        return _as_loaded(field, cleaned)
    except Exception as error:
        messages = getattr(error, "messages", None) or [str(error)]
        raise ValueError(f"{field.name}: {messages[0]}") from None


def _rounded(field: Any, value: Any) -> Any:
    """A number as the column can hold it: 0.1 and a third of a hundred have more decimals than anybody wrote."""
    if not isinstance(field, models.DecimalField) or not isinstance(value, float | Decimal):
        return value
    exact = Decimal(repr(value)) if isinstance(value, float) else value
    # What is far too large for the column is left to its validators.
    fits = exact.is_finite() and exact.adjusted() <= field.max_digits
    return exact.quantize(Decimal(1).scaleb(-field.decimal_places), ROUND_HALF_UP) if fits else exact


def _as_loaded(field: Any, value: Any) -> Any:
    """The value as the database gives it back: with all its decimals, and in UTC."""
    if isinstance(value, Decimal) and isinstance(field, models.DecimalField):
        return value.quantize(Decimal(1).scaleb(-field.decimal_places))
    if isinstance(value, datetime):
        return (value if is_aware(value) else make_aware(value, get_default_timezone())).astimezone(UTC)
    return value


def _key(name: str, value: Any) -> int | None:
    """The id behind a relation, given as a record or as an id."""
    found = value.get("id") if isinstance(value, Mapping) else value
    if found is None or found == "":
        return None
    if isinstance(found, bool) or not str(found).isdecimal() or len(str(found)) > 18:
        raise ValueError(f"{name}: give a record or its id.")
    return int(found)
