"""What a file may fill of companies, of deals, or of records of a type: their columns, and fields of the team's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from contacts.custom import KEY
from contacts.exports import LAYOUTS, own_cell
from contacts.imports.mapping import folded
from contacts.models import Company, Deal, RecordType
from contacts.own_fields import Field, definitions
from crm.models import Team
from crm.tables import as_text

ID: Final = "id"
CUSTOM: Final = "custom."
# Columns that an export writes and that only the system may fill.
SYSTEM: Final = frozenset({"created_at", "updated_at"})
# Cells that name another record, by the relation they fill.
RELATIONS: Final[Mapping[str, str]] = {
    "owner": "owner",
    "contact": "contact",
    "contact_id": "contact",
    "company": "company",
    "company_id": "company",
}
# Columns by which rows may be recognized, and the types of own fields for which that makes sense.
KEYS: Final[Mapping[type[Any], tuple[str, ...]]] = {Company: ("name", "domain"), Deal: ("title",)}
KEY_TYPES: Final = frozenset({"text", "integer", "date", "email", "url"})
# What the columns are called elsewhere.
_SYNONYMS: Final[Mapping[type[Any], Mapping[str, str]]] = {
    Company: {"company": "name", "company name": "name", "organization": "name", "url": "website"},
    Deal: {"name": "title", "deal": "title", "deal name": "title", "value": "amount", "close date": "expected_close"},
}


@dataclass(frozen=True)
class Shape:
    """A kind of record of a team, with the definitions of its own fields by what their columns are called."""

    team: Team
    model: type[Any]
    type: RecordType | None
    own: Mapping[str, Field]

    @property
    def column(self) -> str:
        """Where own values are kept."""
        return "custom" if self.type is None else "values"

    @property
    def spoken(self) -> str:
        """One of them, in a sentence."""
        return str(self.model._meta.verbose_name if self.type is None else self.type.label)

    @property
    def plural(self) -> str:
        """The kind as commands name it: `companies`, `deals`, or the key of a type."""
        return str(self.model._meta.verbose_name_plural if self.type is None else self.type.key)

    @cached_property
    def plain(self) -> tuple[str, ...]:
        """Columns that hold what the cell says."""
        return tuple(name for name in self._filled if name not in RELATIONS)

    @cached_property
    def relations(self) -> tuple[str, ...]:
        """Columns that name another record."""
        return tuple(name for name in self._filled if name in RELATIONS)

    @property
    def _filled(self) -> tuple[str, ...]:
        return tuple(name for name in LAYOUTS[self.model].columns if name not in SYSTEM | {ID})

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Everything that a column may fill or be recognized by, as an export calls it."""
        return (ID, *self._filled, *self.own)

    def named(self, title: str) -> str:
        """What a column of this title fills; empty when nothing does."""
        if title in self.targets or self._is_free(title):
            return title
        return self._titles.get(folded(title), "")

    @cached_property
    def _titles(self) -> dict[str, str]:
        """What other titles mean, without case and accents; what comes later goes first."""
        fields = list(self.own.items())[::-1]
        return {
            **_SYNONYMS.get(self.model, {}),
            **{folded(str(field["label"])): target for target, field in fields if field.get("label")},
            **{folded(str(field["key"])): target for target, field in fields},
            **{folded(target): target for target in self.targets},
        }

    def _is_free(self, target: str) -> bool:
        """Whether this is a custom value that the team has not defined."""
        custom = self.type is None and target.startswith(CUSTOM)
        return custom and KEY.match(target.removeprefix(CUSTOM)) is not None

    def is_own(self, target: str) -> bool:
        return target in self.own or self._is_free(target)

    def key_of(self, target: str) -> str:
        """The key of an own value."""
        return target.removeprefix(CUSTOM) if self.type is None else target

    def keys(self, header: Sequence[str] = ()) -> dict[str, str]:
        """By what records can be recognized, with labels; free values where a file has a column of them."""
        found = [target for target in (*self.targets, *header) if self.can_be_key(target)]
        return {target: self.label(target) for target in found}

    def label(self, target: str) -> str:
        """What people call that which a column fills."""
        if target in self.own:
            return str(self.own[target].get("label") or target)
        if self._is_free(target):
            return f"Custom value “{self.key_of(target)}”"
        return "ID" if target == ID else target.replace("_", " ").capitalize().replace(" id", " ID")

    def can_be_key(self, target: str) -> bool:
        """Whether records can be recognized by this."""
        if target in self.own:
            return self.own[target]["type"] in KEY_TYPES
        return target == ID or target in KEYS.get(self.model, ()) or self._is_free(target)

    def rows(self) -> Any:
        """All records of the kind, with what an export writes of their relations."""
        rows = self.model.objects.for_team(self.team)
        rows = rows if self.type is None else rows.filter(type=self.type)
        related = LAYOUTS[self.model].related
        return rows.select_related(*related) if related else rows

    def written(self, record: Any, target: str) -> str:
        """What an export writes of a record."""
        if self.is_own(target):
            return as_text(own_cell(self.column, self.key_of(target))(record))
        return as_text(LAYOUTS[self.model].columns[target](record))

    def values_of(self, record: Any) -> dict[str, Any]:
        """A record's own values by their keys."""
        return dict(getattr(record, self.column) or {})


def shape_of(*, team: Team, model: type[Any], type: RecordType | None) -> Shape:
    """What files of a kind of record hold now; one statement, of own types none."""
    if type is not None:
        return Shape(team, model, type, {str(field["key"]): field for field in type.fields})
    fields = definitions(team=team, model=model)
    return Shape(team, model, None, {f"{CUSTOM}{field['key']}": field for field in fields})
