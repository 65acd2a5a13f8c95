"""The types of the fields of records: columns by what they store, a team's own fields by their definitions."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models

from contacts.devices import FIELD as DEVICE
from contacts.models import RecordType
from contacts.own_fields import Field, definitions
from crm.models import Team
from pipelines import managers
from pipelines.definition.typed import Known, Type, Typed, Types
from pipelines.subjects import OWN, RELATED_FIELDS, RELATED_MODELS, SubjectType, subject_named

# What an own field stores: dates are kept as texts.
_DEFINED: Final[Mapping[str, Type]] = {
    "text": "text",
    "textarea": "text",
    "select": "text",
    "email": "text",
    "url": "text",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "date": "date",
    "datetime": "date",
}
_STORED: Final[tuple[tuple[type[models.Field[Any, Any]], Type], ...]] = (
    (models.BooleanField, "boolean"),
    (models.DateField, "moment"),
    (models.CharField, "text"),
    (models.TextField, "text"),
    (models.IntegerField, "number"),
    (models.FloatField, "number"),
    (models.DecimalField, "number"),
)


class FieldTypes:
    """The types of fields in one team; definitions are read once, when the first of them is asked for."""

    def __init__(self, team: Team) -> None:
        self._team = team
        self._of_records: dict[str, tuple[Field, ...]] | None = None
        self._defined: dict[str, tuple[Field, ...]] = {}

    def own(self, label: str) -> tuple[Field, ...]:
        """The fields that the team defined for contacts, companies, deals, or a type of records of its own."""
        if label.startswith(OWN):
            return self._records().get(label.removeprefix(OWN), ())
        if label not in self._defined:
            self._defined[label] = tuple(definitions(team=self._team, model=label))
        return self._defined[label]

    def knows(self, label: str) -> bool:
        """Whether the team has this type of records, where it is one of its own."""
        return not label.startswith(OWN) or label.removeprefix(OWN) in self._records()

    def defined(self, label: str) -> Mapping[str, Typed]:
        """The types of those fields; values of contacts, companies and deals may be older than their definition.

        So they may be of another type, and nothing about these is firm.
        """
        return defined_types(self.own(label), firm=label.startswith(OWN))

    def names(self, label: str) -> frozenset[str]:
        """The fields of a kind of record by name, those that the team defined among them; none of an unknown kind."""
        kind = subject_named(label)
        if kind is None:
            return frozenset()
        return columns_of(kind) | {str(each["key"]) for each in self.own(label)}

    def of(self, label: str) -> Types:
        """The types of paths below a record of this kind; of a kind that nobody knows, none."""
        kind = subject_named(label)
        if kind is None:
            return lambda path: None
        return lambda path: self._of_path(kind, path)

    def _of_path(self, kind: SubjectType, path: tuple[str, ...]) -> Known:
        match path:
            case ():
                return Typed("object")
            case (name,) if name in kind.derived:
                return Typed("object" if name == "custom" else "text")
            case (name,) if kind.record_type and name in self.defined(kind.label):
                return self.defined(kind.label)[name]
            case (name,) if name in kind.plain or name in kind.relations:
                return column_type(kind.model, name)
            case (relation, name) if relation in kind.relations and name in RELATED_FIELDS[relation]:
                return column_type(apps.get_model(RELATED_MODELS[relation]), name)
            case (managers.OWNER, managers.NAME) if managers.OWNER in kind.relations:
                return Typed("object")
            case (managers.OWNER, managers.NAME, name) if managers.OWNER in kind.relations and name in managers.FIELDS:
                return column_type(apps.get_model(managers.MODEL), name)
            case (name,) | ("custom", name) if "custom" in kind.plain:
                return self.defined(kind.label).get(name)
        return None

    def _records(self) -> dict[str, tuple[Field, ...]]:
        if self._of_records is None:
            rows = RecordType.objects.for_team(self._team).values_list("key", "fields")
            self._of_records = {key: tuple(fields) for key, fields in rows}
        return self._of_records


def columns_of(kind: SubjectType) -> frozenset[str]:
    """The names under which every record of a kind holds something, whatever a team defines."""
    hidden = {"values", "custom", "name"} if kind.record_type else set[str]()
    return frozenset({*kind.plain, *kind.relations, *kind.derived, *registered(kind), "model", "team_id"} - hidden)


def registered(kind: SubjectType) -> frozenset[str]:
    """What a contact has among its custom values without anybody's adding it: the device that registered itself."""
    return frozenset({DEVICE} if kind.label == "contacts.contact" else ())


def defined_types(fields: Iterable[Mapping[str, Any]], *, firm: bool = True) -> dict[str, Typed]:
    """The types of defined fields by their keys."""
    return {
        str(each["key"]): Typed(_DEFINED[each["type"]], options=tuple(each.get("options") or ()), firm=firm)
        for each in fields
        if each.get("type") in _DEFINED
    }


def column_type(model: type[models.Model], name: str) -> Known:
    """The type of what a column stores; None where nothing is certain."""
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    if field.is_relation:
        return Typed("object")
    kind = next((found for stored, found in _STORED if isinstance(field, stored)), None)
    choices = tuple(str(value) for value, _ in getattr(field, "flatchoices", ())) if kind == "text" else ()
    return Typed(kind, options=choices) if kind else None
