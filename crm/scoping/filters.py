"""Side-bar filters and lookups of the admin that tell nothing about other teams."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from django.contrib.admin import FieldListFilter, RelatedFieldListFilter, SimpleListFilter
from django.contrib.admin.utils import get_fields_from_path
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.http import HttpRequest

from crm.scoping.rows import rows_of_team

RELATION_LOOKUPS = frozenset({"pk", "id", "exact", "in", "isnull"})
RANGE_SUFFIXES = ("_from", "_to", "_from_0", "_from_1", "_to_0", "_to_1")


class TeamChoices:
    """Mixed into a relation filter: offers only rows of the current team."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        rows = rows_of_team(model=field.related_model, team=getattr(request, "team", None))
        ordering = model_admin.get_ordering_of(field.related_model, request)
        if ordering:
            rows = rows.order_by(*ordering)
        return [(row.pk, str(row)) for row in rows[:200]]


@cache
def scoped_filter(base: type[RelatedFieldListFilter]) -> type[RelatedFieldListFilter]:
    """The given relation filter with choices of the team only."""
    if issubclass(base, TeamChoices):
        return base
    return type(f"Team{base.__name__}", (TeamChoices, base), {})


def scoped_list_filter(model: type[models.Model], items: Iterable[Any]) -> list[Any]:
    """`list_filter` with every relation filter replaced by its scoped twin."""
    return [_scoped_item(model, item) for item in items]


def _scoped_item(model: type[models.Model], item: Any) -> Any:
    path, chosen = item if isinstance(item, (list, tuple)) else (item, None)
    if not isinstance(path, str) or not _is_relation(model, path):
        return item
    base = chosen or RelatedFieldListFilter
    return (path, scoped_filter(base)) if issubclass(base, RelatedFieldListFilter) else item


def _is_relation(model: type[models.Model], path: str) -> bool:
    try:
        return bool(get_fields_from_path(model, path)[-1].is_relation)
    except FieldDoesNotExist:
        return False


def is_allowed_lookup(*, model: type[models.Model], lookup: str, items: Iterable[Any], dates: str | None) -> bool:
    """True only for lookups that a filter or the date hierarchy of the page itself produces."""
    for item in items:
        path = item[0] if isinstance(item, (list, tuple)) else item
        if isinstance(path, str) and _fits(model, path, lookup):
            return True
        if _is_simple_filter(path) and _fits_name(str(path.parameter_name), lookup):
            return True
    return bool(dates) and _fits(model, str(dates), lookup)


def _is_simple_filter(item: Any) -> bool:
    return isinstance(item, type) and issubclass(item, SimpleListFilter) and not issubclass(item, FieldListFilter)


def _fits_name(name: str, lookup: str) -> bool:
    return lookup == name or lookup in {name + suffix for suffix in RANGE_SUFFIXES}


def _fits(model: type[models.Model], path: str, lookup: str) -> bool:
    if _fits_name(path, lookup):
        return True
    if not lookup.startswith(path + "__"):
        return False
    rest = lookup.removeprefix(path + "__").split("__")
    if not _is_relation(model, path):
        return True
    field = get_fields_from_path(model, path)[-1]
    target = field.related_model
    key = target._meta.pk.name if isinstance(target, type) and target._meta.pk else "id"
    return all(part in RELATION_LOOKUPS or part == key for part in rest)
