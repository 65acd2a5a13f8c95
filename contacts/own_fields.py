"""The fields a team defines for contacts, companies and deals: reading definitions, and holding values to them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from django.apps import apps
from django.db import models
from django.db.models.fields.json import KeyTransform

from contacts.models import FieldDefinition
from contacts.record_fields import InvalidValues, checked
from crm.models import Team

# A field as `FieldDefinition.as_field` gives it: key, label, type, required, personal, and the options of a choice.
Field = Mapping[str, Any]
MODELS: Final = frozenset(FieldDefinition.Model.values)


def definitions(*, team: Team | int, model: type[models.Model] | str) -> tuple[Field, ...]:
    """The fields defined for a model (the class, or a label such as `contacts.contact`), in their order; one query.

    Each is a mapping of the shape that fields of record types have: `key`, `label`, `type`, `required`,
    `personal`, and `options` of a choice. A model that takes no definitions has none, without a query.
    """
    label = model if isinstance(model, str) else model._meta.label_lower
    if label not in MODELS:
        return ()
    return all_definitions(teams=[team], labels=[label]).get((_id(team), label), ())


def all_definitions(*, teams: Iterable[Team | int], labels: Iterable[str]) -> dict[tuple[int, str], tuple[Field, ...]]:
    """The fields of several teams and models by (team id, label), in one query."""
    wanted = FieldDefinition.objects.filter(team__in=[_id(team) for team in teams], model__in=set(labels))
    found: dict[tuple[int, str], list[Field]] = {}
    for row in wanted.order_by("position", "pk"):
        found.setdefault((row.team_id, row.model), []).append(row.as_field())
    return {key: tuple(fields) for key, fields in found.items()}


def _id(team: Team | int) -> int:
    return team if isinstance(team, int) else int(team.pk)


def checked_custom(*, fields: Sequence[Field], values: Mapping[str, Any], complete: bool = False) -> dict[str, Any]:
    """Custom values as they are stored: those of defined fields of their types, others as they came; pure.

    A null, or an empty text in a defined field, is null in the answer and takes the value away; a required field
    refuses that. With `complete` the values are those of a new record, and required fields must be among them.
    Raises `InvalidValues` with every problem as (key, sentence); no sentence repeats a value.
    """
    if not fields:
        return dict(values)
    keys = {str(field["key"]) for field in fields}
    own = {key: value for key, value in values.items() if key in keys}
    held = checked(fields, own, partial=not complete)
    return {**{key: value for key, value in values.items() if key not in keys}, **held}


# How files say yes and no.
_SPOKEN: Final = {"yes": "true", "1": "true", "no": "false", "0": "false"}


def held_text(*, field: Field, text: str) -> Any:
    """What a text, such as a cell of a file, means in a field; raises `InvalidValues`."""
    if field["type"] == "boolean":
        text = _SPOKEN.get(text.lower(), text)
    return checked([field], {field["key"]: text}, partial=True)[field["key"]]


def held_by(*, definition: FieldDefinition) -> models.QuerySet[Any]:
    """Records of the team that hold a value under the key of a definition."""
    rows: models.QuerySet[Any] = apps.get_model(definition.model)._default_manager.filter(team=definition.team_id)
    return rows.filter(custom__has_key=definition.key)


def count_misfits(*, definition: FieldDefinition) -> int:
    """How many stored values do not fit a definition; read in chunks, so that memory stays flat."""
    found = held_by(definition=definition).order_by().annotate(held=KeyTransform(definition.key, "custom"))
    return misfits(field=definition.as_field(), values=found.values_list("held", flat=True).iterator(chunk_size=2000))


def misfits(*, field: Field, values: Iterable[Any]) -> int:
    """How many of these stored values would not fit a definition; nothing stored fits all."""
    return sum(not fits(field, value) for value in values)


def fits(field: Field, value: Any) -> bool:
    """Whether a stored value fits a definition."""
    try:
        checked([field], {field["key"]: value}, partial=True)
    except InvalidValues:
        return value is None or value == ""
    return True
