"""Filters, search and ordering from allow-lists; a parameter nobody listed is an error."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib.admin.utils import get_fields_from_path
from django.core.exceptions import FieldDoesNotExist
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import models
from django.db.models import F, Q, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

Narrow = Callable[[QuerySet[Any], str], QuerySet[Any]]
FilterFields = Mapping[str, str | Narrow] | tuple[str, ...] | list[str]

LOOKUPS = frozenset({"exact", "iexact", "icontains", "istartswith", "gt", "gte", "lt", "lte", "in", "isnull"})
PAGING = frozenset({"cursor", "page_size"})
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class StrictFilterBackend(BaseFilterBackend):
    """Reads `filter_fields`, `search_fields` and `ordering_fields` of the view."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        if getattr(view, "action", "list") != "list":
            return queryset
        filters = filters_of(view)
        refuse_unknown(request=request, known={*filters, "search", "ordering"} | PAGING)
        for name, how in filters.items():
            if name in request.query_params:
                queryset = _narrow(queryset, name, how, request.query_params[name])
        queryset = _search(queryset, view, request.query_params.get("search", "").strip())
        return queryset.order_by(*ordering_of(request=request, view=view))

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """What the OpenAPI document says about these parameters."""
        names = [*filters_of(view), *(["search"] if view.search_fields else [])]
        parameters = [_parameter(name, {"type": "string"}) for name in names]
        if view.ordering_fields:
            choices = [sign + name for name in view.ordering_fields for sign in ("", "-")]
            parameters.append(_parameter("ordering", {"type": "string", "enum": choices}))
        return parameters


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def refuse_unknown(*, request: Request, known: set[str]) -> None:
    """400 for any query parameter outside of `known`."""
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise ValidationError({name: [f"Unknown parameter. Known: {', '.join(sorted(known))}."] for name in unknown})


def filters_of(view: Any) -> dict[str, str | Narrow]:
    fields: FilterFields = view.filter_fields
    return dict(fields) if isinstance(fields, Mapping) else {name: name for name in fields}


def ordering_of(*, request: Request, view: Any) -> list[Any]:
    """What the caller asked for, with nulls last and the key as the tie-breaker."""
    return [
        F(name).desc(nulls_last=True) if descending else F(name).asc(nulls_last=True)
        for name, descending in ordering_terms(request=request, view=view)
    ]


def ordering_terms(*, request: Request, view: Any) -> list[tuple[str, bool]]:
    """Pairs of field and "descending", ending with the primary key; newest first by default."""
    asked = [term for term in request.query_params.get("ordering", "").split(",") if term]
    for term in asked:
        if term.removeprefix("-") not in view.ordering_fields:
            known = ", ".join(view.ordering_fields) or "none"
            raise ValidationError({"ordering": [f"Cannot order by {term.removeprefix('-')!r}. Known: {known}."]})
    terms = [(term.removeprefix("-"), term.startswith("-")) for term in asked]
    last = terms[-1][1] if terms else True
    return [*(term for term in terms if term[0] not in ("id", "pk")), ("pk", last)]


def _search(queryset: QuerySet[Any], view: Any, text: str) -> QuerySet[Any]:
    if not text:
        return queryset
    if not view.search_fields:
        raise ValidationError({"search": ["This list cannot be searched."]})
    if "\x00" in text or len(text) > 200:
        raise ValidationError({"search": ["Use at most 200 characters of text."]})
    for word in text.split()[:6]:
        wanted = Q()
        for field in view.search_fields:
            wanted |= Q(**{f"{field}__icontains": word})
        queryset = queryset.filter(wanted)
    return queryset


def _narrow(queryset: QuerySet[Any], name: str, how: str | Narrow, text: str) -> QuerySet[Any]:
    if callable(how):
        return how(queryset, text)
    path, lookup = split_lookup(how)
    value = _value(queryset.model, name, path, lookup, text)
    try:
        return queryset.filter(**{f"{path}__{lookup}": value})
    except (ValueError, TypeError) as wrong:
        raise ValidationError({name: [f"{text!r} is not a value this can be compared with."]}) from wrong


def split_lookup(how: str) -> tuple[str, str]:
    """`created_at__gte` → (`created_at`, `gte`); without a lookup it is `exact`."""
    path, _, last = how.rpartition("__")
    return (path, last) if path and last in LOOKUPS else (how, "exact")


def _value(model: type[models.Model], name: str, path: str, lookup: str, text: str) -> Any:
    if "\x00" in text:
        raise ValidationError({name: ["Null characters are not allowed."]})
    if lookup == "isnull":
        return _boolean(name, text)
    if lookup == "in":
        return [_convert(model, name, path, part) for part in text.split(",")[:200] if part]
    return text if lookup in ("icontains", "istartswith", "iexact") else _convert(model, name, path, text)


def _convert(model: type[models.Model], name: str, path: str, text: str) -> Any:
    try:
        field: Any = get_fields_from_path(model, path)[-1]
    except FieldDoesNotExist:
        # An annotation of the queryset: the database compares text.
        return text
    while field.is_relation:
        field = field.target_field if hasattr(field, "target_field") else field.related_model._meta.pk
    if isinstance(field, models.BooleanField):
        return _boolean(name, text)
    if field.choices and not isinstance(field, models.IntegerField) and text not in dict(field.flatchoices):
        raise ValidationError({name: [f"{text!r} is not one of {', '.join(map(str, dict(field.flatchoices)))}."]})
    try:
        return field.to_python(text)
    except ModelValidationError as wrong:
        raise ValidationError({name: wrong.messages}) from wrong


def _boolean(name: str, text: str) -> bool:
    if text.lower() not in BOOLEANS:
        raise ValidationError({name: ["Use true or false."]})
    return BOOLEANS[text.lower()]
