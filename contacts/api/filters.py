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

from contacts.models import Contact, RecordType, SegmentMembership, Tag
from contacts.own_fields import definitions
from contacts.own_values import RANGES, within
from contacts.queries import search, with_email
from crm.api.filters import Narrow, StrictFilterBackend

LONGEST: Final = 200


class OwnValueFilterBackend(StrictFilterBackend):
    """Own fields too: `custom[plan]=pro`, of records `values[sku]=A1`; equal, as text, number or truth.

    Numbers and dates that are defined have ranges: `custom[seats][gte]=10`.
    """

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        if getattr(view, "action", "list") != "list":
            return queryset
        asked = request.query_params.copy()
        own = re.compile(rf"{view.own_values}\[([a-z][a-z0-9_]{{0,39}})\](?:\[(gt|gte|lt|lte)\])?")
        named = {name: found for name in asked if (found := own.fullmatch(name))}
        types = _types(view) if any(found[2] for found in named.values()) else {}
        for name, found in named.items():
            text = asked.pop(name)[-1]
            if found[2]:
                queryset = _in_range(queryset, view.own_values, found, types.get(found[1], ""), text)
            else:
                queryset = _with_value(queryset, view.own_values, found[1], name, text)
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
            "description": f"Own fields by their keys, such as `{view.own_values}[plan]=pro`. Those defined as numbers "
            f"or dates have ranges too, with `gt`, `gte`, `lt` and `lte`: `{view.own_values}[seats][gte]=10`. "
            "Times are compared by their date.",
            "schema": {
                "type": "object",
                "additionalProperties": {
                    "oneOf": [
                        {"type": "string", "maxLength": LONGEST},
                        {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {name: {"type": "string", "maxLength": LONGEST} for name in RANGES},
                        },
                    ]
                },
            },
        }
        return [*super().get_schema_operation_parameters(view), own]


def _types(view: Any) -> dict[str, str]:
    """The types of the fields that are defined, by their keys: one statement."""
    if view.own_values == "custom":
        fields: Any = definitions(team=view.team, model=view.queryset.model)
    else:
        kinds = RecordType.objects.for_team(view.team)
        key = view.kwargs.get("type") or view.request.query_params.get("type")
        named = kinds.filter(key=key) if key else kinds
        fields = [field for row in named.values_list("fields", flat=True) for field in row]
    return {str(field["key"]): str(field["type"]) for field in fields}


def _in_range(rows: QuerySet[Any], column: str, asked: re.Match[str], type: str, text: str) -> QuerySet[Any]:
    if not type:
        raise ValidationError(
            {asked[0]: [f"No field {asked[1]!r} is defined; only defined numbers and dates have ranges."]}
        )
    try:
        return within(rows, column=column, key=asked[1], type=type, compare=asked[2], value=text)
    except ValueError as error:
        raise ValidationError({asked[0]: [str(error)]}) from None


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
