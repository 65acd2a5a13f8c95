"""Pages that cost the same at any depth: the cursor holds where the last one ended."""

import base64
import binascii
import json
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import F, Model, Q, QuerySet
from django.db.models.expressions import OrderBy
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from crm.api.filters import ordering_terms

PAGE_SIZE = 50
LARGEST = 200
Terms = list[tuple[str, bool]]


class IdCursorPagination(BasePagination):
    """`{next, previous, results}`, ordered by the asked fields and then by the primary key."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request, self.terms = request, ordering_terms(request=request, view=view)
        size = _page_size(request)
        cursor = _decode(request.query_params.get("cursor"), len(self.terms))
        backwards = bool(cursor and cursor["back"])
        rows = list(_slice(queryset, self.terms, cursor, backwards)[: size + 1])
        more, rows = len(rows) > size, rows[:size]
        if backwards:
            rows.reverse()
        self.has_next = bool(rows) and (more if not backwards else True)
        self.has_previous = bool(rows) and (more if backwards else cursor is not None)
        self.rows = rows
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {
                "next": self._link(self.rows[-1], back=False) if self.has_next else None,
                "previous": self._link(self.rows[0], back=True) if self.has_previous else None,
                "results": data,
            }
        )

    def _link(self, row: Any, *, back: bool) -> str:
        at = [_attribute(row, name) for name, _ in self.terms]
        text = json.dumps({"at": at, "back": back}, cls=DjangoJSONEncoder)
        cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return str(replace_query_param(self.request.build_absolute_uri(), "cursor", cursor))

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        size = {"type": "integer", "minimum": 1, "maximum": LARGEST, "default": PAGE_SIZE}
        return [
            {"name": "cursor", "in": "query", "required": False, "schema": {"type": "string"}},
            {"name": "page_size", "in": "query", "required": False, "schema": size},
        ]


def _page_size(request: Request) -> int:
    text = request.query_params.get("page_size", str(PAGE_SIZE))
    if not (text.isascii() and text.isdigit()) or len(text) > 6 or int(text) < 1:
        raise ValidationError({"page_size": [f"Use a number from 1 to {LARGEST}."]})
    return min(int(text), LARGEST)


def _decode(text: str | None, length: int) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        cursor = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        at, back = cursor["at"], cursor["back"]
    except (ValueError, binascii.Error, KeyError, TypeError) as broken:
        raise _wrong_cursor() from broken
    plain = isinstance(at, list) and all(isinstance(each, (str, int, float, type(None))) for each in at)
    if not plain or len(at) != length or not isinstance(back, bool):
        raise _wrong_cursor()
    return {"at": at, "back": back}


def _wrong_cursor() -> ValidationError:
    return ValidationError({"cursor": ["This cursor does not belong to this list: start without one."]})


def _slice(queryset: QuerySet[Any], terms: Terms, cursor: dict[str, Any] | None, backwards: bool) -> QuerySet[Any]:
    rows = queryset.order_by(*(_ordered(queryset.model, *term, backwards) for term in terms))
    if cursor is None:
        return rows
    try:
        return rows.filter(_beyond(queryset.model, terms, cursor["at"], backwards))
    except (ValueError, TypeError) as broken:
        raise _wrong_cursor() from broken
    except Exception as broken:
        if type(broken).__name__ != "ValidationError":
            raise
        raise _wrong_cursor() from broken


def _ordered(model: type[Model], name: str, descending: bool, backwards: bool) -> OrderBy:
    """Nulls stand last, so that read backwards they come first. Where there are none, saying so would cost an index."""
    nulls: dict[str, Any] = {}
    if _may_be_null(model, name):
        nulls = {"nulls_first": True} if backwards else {"nulls_last": True}
    return F(name).desc(**nulls) if descending != backwards else F(name).asc(**nulls)


def _may_be_null(model: type[Model], name: str) -> bool:
    if name == "pk":
        return False
    try:
        return bool(model._meta.get_field(name).null)
    except FieldDoesNotExist:
        # Through a relation, or worked out by the query: anything may be missing there.
        return True


def _beyond(model: type[Model], terms: Terms, at: list[Any], backwards: bool) -> Q:
    """Rows after `at`: the first term differs, or it is equal and the rest lies beyond."""
    (name, descending), value = terms[0], at[0]
    comparison = "lt" if descending != backwards else "gt"
    if value is None:
        further, same = (
            (Q(**{f"{name}__isnull": False}) if backwards else Q(pk__in=[])),
            Q(**{f"{name}__isnull": True}),
        )
    else:
        further, same = Q(**{f"{name}__{comparison}": value}), Q(**{name: value})
        if not backwards and _may_be_null(model, name):
            further |= Q(**{f"{name}__isnull": True})
    return further if len(terms) == 1 else further | (same & _beyond(model, terms[1:], at[1:], backwards))


def _attribute(row: Any, path: str) -> Any:
    for part in path.split("__"):
        row = getattr(row, part, None)
    return row
