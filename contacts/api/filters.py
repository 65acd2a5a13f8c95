"""Filters of contacts and activities that one lookup cannot express."""

import json
import math
import re
from functools import reduce
from operator import or_
from types import SimpleNamespace
from typing import Any, Final

from django.contrib.contenttypes.models import ContentType
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Lower
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from contacts.models import Contact, SegmentMembership, Tag
from contacts.queries import search, with_email
from crm.api.filters import Narrow, StrictFilterBackend

LONGEST: Final = 200


class OwnValueFilterBackend(StrictFilterBackend):
    """Own fields too: `custom[plan]=pro`, of records `values[sku]=A1`; equal, as text, number or truth."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        if getattr(view, "action", "list") != "list":
            return queryset
        asked = request.query_params.copy()
        own = re.compile(rf"{view.own_values}\[([a-z][a-z0-9_]{{0,39}})\]")
        for name in list(asked):
            if found := own.fullmatch(name):
                queryset = _with_value(queryset, view.own_values, found[1], name, asked.pop(name)[-1])
        rest: Any = SimpleNamespace(query_params=asked)
        return super().filter_queryset(rest, queryset, view)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """The names are the team's, so the document describes their shape alone."""
        own = {
            "name": view.own_values,
            "in": "query",
            "required": False,
            "style": "deepObject",
            "explode": True,
            "description": f"Own fields by their keys, such as `{view.own_values}[plan]=pro`.",
            "schema": {"type": "object", "additionalProperties": {"type": "string", "maxLength": LONGEST}},
        }
        return [*super().get_schema_operation_parameters(view), own]


def _with_value(rows: QuerySet[Any], column: str, key: str, name: str, text: str) -> QuerySet[Any]:
    if "\x00" in text or len(text) > LONGEST:
        raise ValidationError({name: [f"Use at most {LONGEST} characters of text."]})
    wanted: list[Any] = [text, *_as_json(text)]
    # Not `custom__key`, for a key may be called as a lookup is.
    rows = rows.alias(**{f"own_{key}": KeyTransform(key, column)})
    return rows.filter(reduce(or_, (Q(**{f"own_{key}": value}) for value in wanted)))


def _as_json(text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    fits = isinstance(value, bool) or (isinstance(value, int | float) and math.isfinite(value))
    return [value] if fits else []


class ContactFilterBackend(OwnValueFilterBackend):
    """Searches as the admin does: every word in a name, address, number, company or tag."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        if getattr(view, "action", "list") != "list":
            return queryset
        asked = request.query_params.copy()
        text = asked.pop("search", [""])[-1].strip()
        if "\x00" in text or len(text) > 200:
            raise ValidationError({"search": ["Use at most 200 characters of text."]})
        rest: Any = SimpleNamespace(query_params=asked)
        rows: Any = super().filter_queryset(rest, queryset, view)
        return search(contacts=rows, text=text, team=view.team) if text else rows


def by_email(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """One address, whatever the case."""
    return rows.filter(pk__in=with_email(team=None, emails=[text.strip()]).values("pk"))


def by_tag(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Contacts with the tag of this name, whatever the case."""
    tags = Tag.objects.alias(lowered=Lower("name")).filter(lowered=text.strip().lower())
    through = Contact.tags.through._default_manager
    tagged = through.filter(contact_id=OuterRef("pk"), tag_id__in=tags.values("pk"))
    return rows.filter(Exists(tagged))


def in_segment(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Records that are in the segment of this key."""
    kind = ContentType.objects.get_for_model(rows.model)
    mine = SegmentMembership.objects.filter(subject_type=kind, subject_id=OuterRef("pk"))
    return rows.filter(Exists(mine.filter(segment__key=text.strip(), segment__team=OuterRef("team"))))


def by_subject(model: type[Model], name: str) -> Narrow:
    """Activities about one record of this kind."""

    def narrow(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise ValidationError({name: ["Use the id of a record."]})
        kind = ContentType.objects.get_for_model(model)
        return rows.filter(subject_type=kind, subject_id=int(text))

    return narrow
