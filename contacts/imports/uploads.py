"""A file that somebody brings, by the page or the API: kept, looked through once, and its columns guessed."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from django.conf import settings

from contacts.imports.files import StoredBytes, drop, keep
from contacts.imports.lifecycle import Choices, draft
from contacts.imports.mapping import EMAIL, MappingProblem, check_columns, columns_of, folded, map_columns
from contacts.imports.remembered import recall
from contacts.models import Contact, ContactImport
from contacts.own_fields import definitions
from crm.csv_files import UnreadableFile, inspect
from crm.models import Team

MEGABYTE: Final = 1_048_576
Unknown = Literal["ignore", "custom"]


def bring(
    *,
    team: Team,
    upload: Any,
    by: Any,
    source: str,
    given: Mapping[str, str] | None = None,
    unknown: Unknown = "ignore",
    key: str = "",
    existing: str = ContactImport.Existing.UPDATE,
    enroll: bool = True,
    strict: bool = False,
) -> ContactImport:
    """A draft; raises UnreadableFile, and MappingProblem when columns or a key were given, or with `strict` guessed,
    that do not fit."""
    if upload.size > settings.IMPORT_MAX_MB * MEGABYTE:
        size = f"{upload.size / MEGABYTE:.1f}"
        raise UnreadableFile(
            f"The file has {size} MB; at most {settings.IMPORT_MAX_MB} can be uploaded."
            " The command import_contacts takes larger ones."
        )
    name = keep(team=team, upload=upload)
    try:
        table = inspect(source=StoredBytes(name))
        targets, found = _targets(team, table.header, given or {}, unknown, key)
        if strict:
            check_columns(columns_of(header=table.header, targets=targets), key=found)
    except (UnreadableFile, MappingProblem):
        drop(name)
        raise
    choices = Choices(targets=targets, key=found, existing=existing, enroll=enroll)
    return draft(team=team, table=table, name=str(upload.name or ""), choices=choices, file=name, by=by, source=source)


def guess(team: Team, header: Sequence[str]) -> list[str]:
    """Fields by the titles of the columns; when no title says anything, a person says where they go."""
    try:
        return [column.target for column in map_columns(header=header, own=own_targets(team)).columns]
    except MappingProblem:
        return [""] * len(header)


def own_targets(team: Team) -> dict[str, str]:
    """Where columns go that are titled like a field of the team, by its label or by its key."""
    fields = definitions(team=team, model=Contact)
    return {
        folded(str(field[name])): f"custom.{field['key']}" for name in ("label", "key") for field in reversed(fields)
    }


def _targets(
    team: Team, header: Sequence[str], given: Mapping[str, str], unknown: Unknown, key: str
) -> tuple[list[str], str]:
    """The field of each column, and the key: as given; else as the last time for these titles; else guessed."""
    if given or key or unknown == "custom":
        own = own_targets(team)
        columns = map_columns(header=header, given=given, unknown=unknown, key=key or EMAIL, own=own)
        check_columns(columns, key=key or EMAIL)
        return [column.target for column in columns.columns], key or EMAIL
    before = recall(team=team, header=header)
    if before is not None:
        return [column.target for column in before.columns.columns], before.key
    return guess(team, header), EMAIL
