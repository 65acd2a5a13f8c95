"""The base of every admin page of the product: rows, choices, filters and buttons of one team only."""

import json
from typing import Any, TypeVar

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.admin.utils import NestedObjects
from django.contrib.contenttypes.models import ContentType
from django.db import models, router
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.timezone import get_current_timezone_name
from unfold.admin import GenericTabularInline, ModelAdmin, StackedInline, TabularInline

from crm.auditing import audit_request, team_of
from crm.scoping.access import ScopedAccess
from crm.scoping.filters import is_allowed_lookup, scoped_list_filter
from crm.scoping.paginator import EstimatedPaginator
from crm.scoping.rows import has_own_team

M = TypeVar("M", bound=models.Model)
VERBS = {ADDITION: "added", CHANGE: "changed", DELETION: "deleted"}

__all__ = [
    "TeamScopedAdmin",
    "TeamScopedGenericTabularInline",
    "TeamScopedReadOnlyAdmin",
    "TeamScopedStackedInline",
    "TeamScopedTabularInline",
]


class TeamScopedAdmin(ScopedAccess, ModelAdmin[M]):
    """An admin page that shows, accepts and logs only rows of the current team."""

    paginator = EstimatedPaginator
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 200
    view_on_site = False
    warn_unsaved_form = True
    list_filter_submit = False
    extra_lookups: tuple[str, ...] = ()
    # What an empty list says: what comes here, and from where.
    nothing = ""

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return self.team_form(request, super().get_form(request, obj, change=change, **kwargs))

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        return self.team_form(request, super().get_changelist_form(request, **kwargs))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Put the team above written fieldsets for a superuser without one, and nowhere for others."""
        fieldsets = super().get_fieldsets(request, obj)
        if not self.fieldsets or not has_own_team(self.model) or self._hides_team(request, obj):
            return fieldsets
        return [(None, {"fields": ["team"]}), *fieldsets]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Moments are read and written by the clock of the team, wherever the browser stands."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(db_field, models.DateTimeField) and field is not None and not field.help_text:
            field.help_text = f"By the clock of {get_current_timezone_name()}."
        return field

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        team = getattr(request, "team", None)
        if has_own_team(self.model) and not change and team is not None:
            obj.team = team
        super().save_model(request, obj, form, change)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Rows of an inline belong to the team of the row they stand under."""
        for each in formset.forms:
            if has_own_team(type(each.instance)) and each.instance.team_id is None:
                each.instance.team = team_of(form.instance)
        super().save_formset(request, form, formset, change)

    def get_list_filter(self, request: HttpRequest) -> Any:
        items = scoped_list_filter(self.model, super().get_list_filter(request))
        chooses_team = has_own_team(self.model) and getattr(request, "team", None) is None
        return [*items, "team"] if chooses_team else items

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        if lookup in self.extra_lookups:
            return True
        items = self.get_list_filter(request)
        return is_allowed_lookup(model=self.model, lookup=lookup, items=items, dates=self.date_hierarchy)

    def _filter_actions_by_permissions(self, request: HttpRequest, actions: Any) -> Any:
        """An action that names no permission needs the one to change."""
        allowed = super()._filter_actions_by_permissions(request, actions)
        may_change = self.has_change_permission(request)
        return [each for each in allowed if may_change or getattr(each[0], "allowed_permissions", None)]

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Refuse, without naming them, deletions that would reach rows of another team."""
        collector = NestedObjects(using=router.db_for_write(self.model))
        collector.collect(objs)
        teams = {team_of(obj) for obj in objs} - {None}
        touched = {team_of(row) for rows in collector.data.values() for row in rows} - {None}
        if len(teams) == 1 and touched - teams:
            return [], {}, set(), ["Records of another team depend on this."]
        rows, counts, lacking, protected = super().get_deleted_objects(objs, request)
        ties = [model._meta for model in collector.data if model._meta.auto_created]
        return (
            _without(rows, ties),
            {name: n for name, n in counts.items() if name not in _plurals(ties)},
            lacking,
            protected,
        )

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return self._log(request, obj, ADDITION, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return self._log(request, obj, CHANGE, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        return [self._log(request, obj, DELETION, []) for obj in queryset]

    def _log(self, request: HttpRequest, obj: Any, flag: int, message: Any) -> LogEntry:
        """Write history and audit: which row and which fields, but no names and no values."""
        parts = _without_values(message)
        fields = {name for part in parts for change in part.values() for name in change.get("fields", [])}
        audit_request(
            request=request,
            action=f"{self.resource}.{VERBS[flag]}",
            target=obj,
            fields=fields,
            team=team_of(obj),
        )
        entry: LogEntry = LogEntry.objects.create(
            user_id=request.user.pk or 0,
            content_type_id=ContentType.objects.get_for_model(obj, for_concrete_model=False).pk,
            object_id=str(obj.pk),
            object_repr=f"{obj._meta.verbose_name} {obj.pk}"[:200],
            action_flag=flag,
            change_message=json.dumps(parts),
        )
        return entry


def _without(rows: Any, ties: list[Any]) -> list[Any]:
    """What would be deleted, without the rows that only tie two others together."""
    marks = tuple(f"{capfirst(opts.verbose_name)}: " for opts in ties)
    kept = [_without(row, ties) if isinstance(row, list) else row for row in rows]
    return [row for row in kept if row != [] and not (marks and str(row).startswith(marks))]


def _plurals(ties: list[Any]) -> set[str]:
    return {str(opts.verbose_name_plural) for opts in ties}


def _without_values(message: Any) -> list[dict[str, Any]]:
    """Django's change message without the texts of rows, which may be names of people."""
    if not isinstance(message, list):
        return []
    return [
        {verb: {**change, "object": "…"} if "object" in change else change for verb, change in part.items()}
        for part in message
    ]


class TeamScopedReadOnlyAdmin(TeamScopedAdmin[M]):
    """A page for rows that the engine or the system owns: to look at, never to write."""

    read_only = True
    warn_unsaved_form = False


class _ScopedInline(ScopedAccess):
    """Rows under a row, scoped and permitted like a page of their own."""

    extra = 0

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        kwargs.setdefault("form", self.team_form(request, self.form))  # type: ignore[attr-defined]
        return super().get_formset(request, obj, **kwargs)  # type: ignore[misc]


class TeamScopedTabularInline(_ScopedInline, TabularInline):
    """A table of rows under a row."""


class TeamScopedStackedInline(_ScopedInline, StackedInline):
    """Forms of rows under a row."""


class TeamScopedGenericTabularInline(_ScopedInline, GenericTabularInline):
    """A table of rows that point at any kind of record, such as tasks and activities."""
