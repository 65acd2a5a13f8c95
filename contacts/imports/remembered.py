"""What a team chose for a set of headings, suggested the next time the same headings come."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from contacts.imports.mapping import EMAIL, IGNORED, ColumnMap, MappingProblem, check_columns, columns_of, folded
from contacts.models import ImportMapping
from crm.models import Team


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """Where columns went the last time, by what contacts were recognized, and when that was."""

    columns: ColumnMap
    key: str
    used_at: datetime


def recall(*, team: Team, header: Sequence[str]) -> Suggestion | None:
    """What was chosen for these headings, in whatever order; None when nothing, or nothing that still fits."""
    row = ImportMapping.objects.for_team(team).filter(headings=_digest(header)).first()
    if row is None:
        return None
    columns = columns_of(header=header, targets=[row.targets.get(name, "") for name in _names(header)])
    try:
        check_columns(columns, key=row.key)
    except MappingProblem:
        return None
    return Suggestion(columns=columns, key=row.key, used_at=row.used_at)


def remember(*, team: Team, header: Sequence[str], targets: Sequence[str], key: str = EMAIL, now: datetime) -> None:
    """Keep a choice instead of what was kept for these headings."""
    chosen = dict(zip(_names(header), targets, strict=True))
    ImportMapping.objects.update_or_create(
        team=team, headings=_digest(header), defaults={"targets": chosen, "key": key, "used_at": now}
    )


def forget(*, team: Team, header: Sequence[str]) -> bool:
    """Guess again the next time; True when something was kept."""
    return bool(ImportMapping.objects.for_team(team).filter(headings=_digest(header)).delete()[0])


def as_wishes(suggestion: Suggestion) -> dict[str, str]:
    """The choice as titles and fields, as a person would give it to the command."""
    return {column.title: column.target or IGNORED for column in suggestion.columns.columns if column.title}


def _names(header: Sequence[str]) -> list[str]:
    """Headings without case and accents; those that are alike are numbered."""
    met: Counter[str] = Counter()
    names = []
    for title in header:
        name = folded(title)
        met[name] += 1
        names.append(name if met[name] == 1 else f"{name} #{met[name]}")
    return names


def _digest(header: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(sorted(_names(header))).encode()).hexdigest()
