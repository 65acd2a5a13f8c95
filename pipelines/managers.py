"""Whose manager is whom, as records show it: `owner.manager`, that of their owner in the team of the record."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from django.db.models import F, FilteredRelation, OuterRef, Q, QuerySet, Subquery

from crm.models import Member

OWNER: Final = "owner"
NAME: Final = "manager"
# How it is named among the relations of a record.
MANAGER: Final = f"{OWNER}.{NAME}"
FIELDS: Final = ("id", "email", "first_name", "last_name")
MODEL: Final = "auth.user"
# A user may belong to several teams, with another manager in each.
_MEMBERSHIP: Final = "membership_of_owner"
_AT: Final = {field: f"{NAME}__user__{field}" for field in FIELDS}
COLUMNS: Final = tuple(f"{_MEMBERSHIP}__{path}" for path in _AT.values())


def relations_of(paths: Iterable[Sequence[str]]) -> frozenset[str]:
    """The relations behind paths below a record; with the owner as a whole goes their manager."""
    found = set[str]()
    for path in paths:
        found.update(path[:1])
        if path and path[0] == OWNER and (len(path) == 1 or path[1] == NAME):
            found.add(MANAGER)
    return frozenset(found)


def joined(rows: QuerySet[Any], columns: Collection[str]) -> QuerySet[Any]:
    """The rows with the memberships of their owners, where the columns name any: no statement more."""
    if COLUMNS[0] not in columns:
        return rows
    of_team = Q(**{f"{OWNER}__memberships__team": F("team")})
    found: QuerySet[Any] = rows.alias(**{_MEMBERSHIP: FilteredRelation(f"{OWNER}__memberships", condition=of_team)})
    return found


def placed(row: dict[str, Any]) -> None:
    """Put the manager that was read with a row into its owner."""
    if COLUMNS[0] in row:
        manager = _part([row.pop(name) for name in COLUMNS])
        if row[OWNER] is not None:
            row[OWNER][NAME] = manager


def managers(pairs: Collection[tuple[int, int]]) -> dict[tuple[int, int], dict[str, Any]]:
    """The managers of these members, each a (team, user), in one statement; who has none is missing."""
    teams, users = {team for team, _ in pairs}, {user for _, user in pairs}
    rows = Member.objects.filter(team_id__in=teams, user_id__in=users, manager__isnull=False)
    return {
        (team, user): part
        for team, user, *values in rows.values_list("team_id", "user_id", *_AT.values())
        if (part := _part(values)) is not None
    }


def asked(field: str) -> Subquery:
    """A field of the manager, for a condition on records."""
    memberships = Member.objects.filter(user=OuterRef(OWNER), team=OuterRef("team"))
    return Subquery(memberships.values(_AT[field]))


def _part(values: Sequence[Any]) -> dict[str, Any] | None:
    return {**dict(zip(FIELDS, values, strict=True)), "model": MODEL} if values[0] is not None else None
