"""Narrowing any table of the product to the rows of one team."""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import QuerySet

from crm.auditing import team_of
from crm.models import Team, TeamScopedQuerySet


def team_path(model: type[models.Model]) -> str | None:
    """The lookup that leads from a model to its team (`pk` for the team itself), or None if it has none."""
    if issubclass(model, Team):
        return "pk"
    if issubclass(model, get_user_model()):
        return "memberships__team"
    path = getattr(model, "team_lookup", None)
    return str(path) if path else None


def rows_of_team(
    *, model: type[models.Model], team: Team | None, queryset: QuerySet[Any] | None = None
) -> QuerySet[Any]:
    """Rows a member of `team` may see or refer to; None means the whole installation.

    A table without a team is closed: only content types of subjects are shared.
    """
    rows = model._default_manager.all() if queryset is None else queryset
    if issubclass(model, ContentType):
        return rows.filter(pk__in=subject_types())
    if issubclass(model, get_user_model()):
        # The hash of a password is for logins alone.
        rows = rows.defer("password")
    path = team_path(model)
    if team is None:
        return rows
    if path is None:
        return rows.none()
    if isinstance(rows, TeamScopedQuerySet):
        # Some tables know a quicker way than through their joins.
        return rows.for_team(team)
    return rows.filter(**{path: team.pk})


def subject_types() -> list[int]:
    """Keys of the content types a generic relation may point to."""
    return [ContentType.objects.get_for_model(apps.get_model(label)).pk for label in settings.PIPELINES_SUBJECTS]


def belongs(*, row: models.Model, team: Team) -> bool:
    """True when `row` may be referred to by rows of `team`."""
    if isinstance(row, ContentType):
        return row.pk in subject_types()
    if isinstance(row, get_user_model()):
        return rows_of_team(model=type(row), team=team).filter(pk=row.pk).exists()
    return team_path(type(row)) is None or team_of(row) == team


def has_own_team(model: type[models.Model]) -> bool:
    """True for tables with a team column of their own."""
    return getattr(model, "team_lookup", None) == "team"
