"""The shared base of every row that belongs to a team."""

from collections.abc import Iterator, Sequence
from typing import Any, Self, TypeVar

from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import models

from crm.models.team import Team

M = TypeVar("M", bound=models.Model)


class TeamScopedQuerySet(models.QuerySet[M]):
    """Rows that can be narrowed to one team; `None` means the whole installation (superusers)."""

    def for_team(self, team: Team | None) -> Self:
        return self if team is None else self.filter(**{self.team_path(): team})

    def about(self, record: models.Model) -> Self:
        """Rows that point at a record, of the record's own team: a wrong id shows nothing of another."""
        column = "subject" if hasattr(self.model, "subject_type") else "about"
        named = {f"{column}_type": ContentType.objects.get_for_model(record), f"{column}_id": record.pk}
        return self.filter(**named, **{self.team_path(): getattr(record, "team_id")})  # noqa: B009

    def select_related(self, *fields: Any) -> Self:
        """Joined users come without the hash of their password, which only a login has to know."""
        rows = super().select_related(*fields)
        return rows.defer(*(f"{path}__password" for path in _paths_to_users(self.model, fields)))

    def team_path(self) -> str:
        return str(getattr(self.model, "team_lookup", "team"))


def _paths_to_users(model: type[models.Model], fields: Sequence[Any]) -> Iterator[str]:
    """Where the joined relations pass a user."""
    for path in filter(None, fields):
        at: Any = model
        parts = str(path).split("__")
        for number, name in enumerate(parts, 1):
            at = at._meta.get_field(name).related_model
            if at is User:
                yield "__".join(parts[:number])


class TeamScoped(models.Model):
    """A row with a team of its own."""

    team_lookup = "team"

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+")

    class Meta:
        abstract = True
