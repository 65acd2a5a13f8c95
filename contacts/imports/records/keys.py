"""By what rows of companies, deals and own records are recognized, in the form in which values are compared."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Q, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Lower, Trim

from contacts.imports.records.relations import numbers
from contacts.imports.records.shape import ID, Shape
from contacts.own_fields import held_text
from contacts.record_fields import InvalidValues
from crm.tables import as_text


def comparable(shape: Shape, key: str, text: str) -> str:
    """A key as it is compared: ids without leading zeros, names whatever their case, own values as they are kept."""
    if key == ID:
        return "".join(str(number) for number in numbers([text])) or text
    if not shape.is_own(key):
        return text.strip().lower()
    if key not in shape.own:
        return text
    try:
        return as_text(held_text(field=shape.own[key], text=text))
    except InvalidValues:
        return text


def found_by(*, shape: Shape, key: str, texts: Sequence[str]) -> dict[str, list[Any]]:
    """Records of the team by their comparable key, oldest first; one statement, the rows locked."""
    if not texts:
        return {}
    wanted = [comparable(shape, key, text) for text in texts]
    found: dict[str, list[Any]] = {}
    rows = _rows(shape, key, wanted, texts).order_by("pk").select_for_update(of=("self",), no_key=True)
    for record in rows:
        written = str(record.pk) if key == ID else shape.written(record, key)
        found.setdefault(comparable(shape, key, written), []).append(record)
    return found


def _rows(shape: Shape, key: str, wanted: Sequence[str], texts: Sequence[str]) -> Any:
    rows = shape.rows()
    if key == ID:
        return rows.filter(pk__in=numbers(wanted))
    if shape.is_own(key):
        value = Cast(KeyTextTransform(shape.key_of(key), shape.column), TextField())
        return rows.alias(key_value=value).filter(key_value__in=wanted)
    # SQLite folds the case of ASCII letters alone, so the exact spelling is asked for as well.
    return rows.alias(key_value=Lower(Trim(key))).filter(Q(key_value__in=wanted) | Q(**{f"{key}__in": texts}))
