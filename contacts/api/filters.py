"""Filters of contacts and activities that one lookup cannot express."""

from types import SimpleNamespace
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Exists, Model, OuterRef, QuerySet
from django.db.models.functions import Lower
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from contacts.models import Contact, Tag
from contacts.queries import search, with_email
from crm.api.filters import Narrow, StrictFilterBackend


class ContactFilterBackend(StrictFilterBackend):
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


def by_subject(model: type[Model], name: str) -> Narrow:
    """Activities about one record of this kind."""

    def narrow(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise ValidationError({name: ["Use the id of a record."]})
        kind = ContentType.objects.get_for_model(model)
        return rows.filter(subject_type=kind, subject_id=int(text))

    return narrow
