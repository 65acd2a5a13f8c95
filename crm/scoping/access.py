"""What admin pages and inlines share: permissions of the matrix, narrowed rows, scoped fields."""

from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest

from crm.auditing import resource_of, team_of
from crm.models import Team
from crm.permissions import MATRIX, allows
from crm.scoping.forms import TeamForm
from crm.scoping.rows import has_own_team, rows_of_team, team_path

WRITING = frozenset({"add", "change", "delete"})


class ScopedAccess:
    """Mixed in before Unfold's classes by every admin page and inline of the product."""

    model: Any
    read_only = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        try:
            self.resource = resource_of(self.model)
        except LookupError as missing:
            raise ImproperlyConfigured(str(missing)) from missing
        if team_path(self.model) is None:
            raise ImproperlyConfigured(f"{self.model._meta.label} needs a team_lookup.")
        for verb in MATRIX[self.resource]:
            if not hasattr(self, f"has_{verb}_permission"):
                setattr(self, f"has_{verb}_permission", partial(self._may, verb))

    def _may(self, verb: str, request: HttpRequest, obj: Any = None) -> bool:
        """Ask the matrix; a given row must also be one of the current team."""
        if self.read_only and verb in WRITING:
            return False
        if isinstance(obj, self.model) and not self._is_ours(request, obj):
            return False
        user: Any = request.user
        if user.is_active and user.is_superuser:
            return True
        member = getattr(request, "member", None)
        return member is not None and allows(role=member.role, resource=self.resource, verb=verb)

    def _is_ours(self, request: HttpRequest, obj: models.Model) -> bool:
        team = getattr(request, "team", None)
        return team is None or obj._state.adding or team_of(obj) == team

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may("view", request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may("add", request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may("change", request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may("delete", request, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may("view", request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        rows = rows_of_team(model=self.model, team=getattr(request, "team", None), queryset=rows)
        match = request.resolver_match
        if match is not None and match.url_name == f"{self.model._meta.app_label}_{self.model._meta.model_name}_change":
            # Read one by one they would come with the hashes of their passwords.
            people = [each.name for each in self.model._meta.fields if each.related_model is get_user_model()]
            rows = rows.select_related(*people) if people else rows
        return rows

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> Any:
        excluded = super().get_exclude(request, obj)  # type: ignore[misc]
        return (*(excluded or ()), "team") if self._hides_team(request, obj) else excluded

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Hide the team from members; a superuser sees it first, and picks it only on creation."""
        fields = _without_team(super().get_fields(request, obj))  # type: ignore[misc]
        if not has_own_team(self.model) or self._hides_team(request, obj):
            return fields
        return ["team", *fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)  # type: ignore[misc]
        fixed = has_own_team(self.model) and obj is not None and not self._hides_team(request, obj)
        return (*fields, "team") if fixed else fields

    def _hides_team(self, request: HttpRequest, obj: Any = None) -> bool:
        return has_own_team(self.model) and getattr(request, "team", None) is not None

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = self._choices(db_field, request, kwargs.get("queryset"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = self._choices(db_field, request, kwargs.get("queryset"))
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]

    def _choices(self, db_field: Any, request: HttpRequest, queryset: QuerySet[Any] | None) -> QuerySet[Any]:
        target = db_field.remote_field.model
        rows = rows_of_team(model=target, team=getattr(request, "team", None), queryset=queryset)
        ordering = self.get_ordering_of(target, request)
        return rows.order_by(*ordering) if ordering else rows

    def get_ordering_of(self, target: type[models.Model], request: HttpRequest) -> tuple[str, ...]:
        """How the page of a related model orders its rows, so that drop-downs read alike."""
        site: Any = self.admin_site  # type: ignore[attr-defined]
        page = site._registry.get(target)
        return tuple(page.get_ordering(request)) if page is not None else ()

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        """Search instead of a drop-down wherever the related page can be searched: it may hold 100,000 rows."""
        named = list(super().get_autocomplete_fields(request))  # type: ignore[misc]
        taken = {
            *named,
            *getattr(self, "raw_id_fields", ()),
            *getattr(self, "radio_fields", ()),
            "team",
        }
        taken |= {*getattr(self, "filter_horizontal", ()), *getattr(self, "filter_vertical", ())}
        fields = (*self.model._meta.fields, *self.model._meta.many_to_many)
        return named + [
            field.name
            for field in fields
            if field.name not in taken and field.is_relation and self._is_searchable(field.related_model)
        ]

    def _is_searchable(self, target: Any) -> bool:
        if issubclass(target, (get_user_model(), ContentType, Team)):
            return False
        page = self.admin_site._registry.get(target)  # type: ignore[attr-defined]
        return page is not None and bool(page.search_fields)

    def team_form(self, request: HttpRequest, form: Any) -> type[TeamForm]:
        """The given form class, made aware of the current team."""
        return type(form.__name__, (TeamForm, form), {"current_team": getattr(request, "team", None)})


def _without_team(fields: Any) -> list[Any]:
    return [field for field in fields if field != "team"]
