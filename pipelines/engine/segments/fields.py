"""The fields of records as the database is asked about them: columns, custom values, tags, what somebody did."""

from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import Count, Exists, F, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.db.models.lookups import IsNull

from contacts.models import Contact
from pipelines import managers
from pipelines.engine.store.askable import Asked, Custom, Field, Moment, NotAskable, Number, Related, Text
from pipelines.engine.store.compiling import Lookup
from pipelines.models import Event
from pipelines.subjects import RELATED_FIELDS, OwnRecords, SubjectType


class Tags(Field):
    """The names of a contact's tags."""

    def contains(self, value: Any) -> Asked:
        if not isinstance(value, str):
            return False
        if "\x00" in value:
            raise NotAskable
        return Q(Exists(_through().filter(tag__name=value)))

    def is_empty(self) -> Asked:
        return Q(~Exists(_through()))


def _through() -> "models.QuerySet[Any]":
    return Contact.tags.through._default_manager.filter(contact_id=OuterRef("pk"))


def lookup_for(kind: SubjectType, *, more: bool = False) -> Lookup:
    """How paths below a record of this kind are asked about; `more` adds tags and events, as rules read them."""

    def lookup(path: tuple[str, ...]) -> Field:
        return _own(path) if isinstance(kind, OwnRecords) else _of_model(kind, path, more and kind.model is Contact)

    return lookup


def _own(path: tuple[str, ...]) -> Field:
    """A value of a record of a team's own type."""
    if len(path) != 1 or path[0] in ("model", "team_id", "created_at", "updated_at", "id"):
        raise NotAskable
    return Custom("values", path[0])


def _of_model(kind: SubjectType, path: tuple[str, ...], more: bool) -> Field:
    match path:
        case ("tags",) if more:
            return Tags()
        case ("did", event, what) if more:
            return _did(kind, event, what)
        case ("custom", key) if "custom" in kind.plain:
            return Custom("custom", key)
        case (relation, name) if relation in kind.relations and name in RELATED_FIELDS[relation]:
            return _related(kind, relation, name)
        case (managers.OWNER, managers.NAME) if managers.OWNER in kind.relations:
            return Related(managers.asked("id"))
        case (managers.OWNER, managers.NAME, name) if managers.OWNER in kind.relations and name in managers.FIELDS:
            return _of_manager(name)
        case (name,):
            return _column(kind, name)
    raise NotAskable


def _related(kind: SubjectType, relation: str, name: str) -> Field:
    absent = Q(IsNull(F(f"{relation}_id"), True))
    if name == "id":
        return Number(F(f"{relation}_id"), absent=absent)
    related: Any = kind.model._meta.get_field(relation).related_model
    if not isinstance(related._meta.get_field(name), models.CharField | models.TextField):
        raise NotAskable
    return Text(F(f"{relation}__{name}"), absent=absent)


def _of_manager(name: str) -> Field:
    asked = managers.asked(name)
    absent = Q(IsNull(managers.asked("id"), True))
    return Number(asked, absent=absent) if name == "id" else Text(asked, absent=absent)


def _column(kind: SubjectType, name: str) -> Field:
    if name in kind.relations:
        return Related(F(f"{name}_id"))
    if name not in kind.plain:
        if name in kind.derived or name in ("team_id", "tags", "did") or "custom" not in kind.plain:
            raise NotAskable
        return Custom("custom", name)
    try:
        column = kind.model._meta.get_field(name)
    except FieldDoesNotExist:
        raise NotAskable from None
    absent: Asked = Q(IsNull(F(name), True)) if column.null else False
    if isinstance(column, models.CharField | models.TextField):
        return Text(F(name), absent=absent)
    if isinstance(column, models.DateTimeField):
        return Moment(F(name))
    if isinstance(column, models.IntegerField):
        return Number(F(name), absent=absent)
    raise NotAskable


def _did(kind: SubjectType, event: str, what: str) -> Field:
    """How often, or when for the last time, an event happened to the contact: read from the index of events."""
    told = Event.objects.filter(
        subject_type=kind.content_type_id, subject_id=OuterRef("pk"), type=event, team_id=OuterRef("team_id")
    )
    grouped = told.order_by().values("subject_id")
    if what == "times":
        return Number(Coalesce(Subquery(grouped.annotate(n=Count("pk")).values("n")), 0))
    if what == "latest":
        return Moment(Subquery(grouped.annotate(at=Max("occurred_at")).values("at")))
    raise NotAskable
