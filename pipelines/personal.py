"""Values of fields that a team marked as personal: what stands in their place where runs are told of."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from contacts.models import FieldDefinition, RecordType

HIDDEN: Final = "…"
_WORD: Final = re.compile(r"\w+")


def personal_names(*, team_id: int) -> frozenset[str]:
    """The keys of all fields, of contacts, companies, deals and own records, that a team marked; two statements."""
    marked = FieldDefinition.objects.filter(team=team_id, personal=True).values_list("key", flat=True)
    types = RecordType.objects.filter(team=team_id).values_list("fields", flat=True)
    return frozenset(marked) | personal_of(types)


def personal_of(shapes: Iterable[Iterable[Mapping[str, Any]]]) -> frozenset[str]:
    """The keys of those fields that are marked."""
    return frozenset(str(field["key"]) for fields in shapes for field in fields if field.get("personal"))


def without_personal(value: Any, *, names: frozenset[str]) -> Any:
    """Plain data with what stands under these names, at any depth, taken out."""
    if not names:
        return value
    if isinstance(value, Mapping):
        return {
            name: HIDDEN if _says(name, names, each) else without_personal(each, names=names)
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_personal(each, names=names) for each in value]
    return value


def _says(name: object, names: frozenset[str], value: Any) -> bool:
    return str(name).rpartition(".")[2] in names and value is not None


def reasons_without_personal(why: Sequence[Any], *, names: frozenset[str]) -> list[Any]:
    """Clauses of conditions without what they found in these fields."""
    return [_clause(leaf, names) if isinstance(leaf, Mapping) else leaf for leaf in why]


def _clause(leaf: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    found = without_personal(leaf, names=names)
    is_read = not names.isdisjoint(_WORD.findall(str(leaf.get("field") or "")))
    return {**found, "actual": HIDDEN} if is_read and leaf.get("actual") is not None else dict(found)
