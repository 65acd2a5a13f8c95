"""Values of fields that a team marked as personal: what stands in their place where runs are told of."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from contacts.models import FieldDefinition, RecordType

HIDDEN: Final = "…"
_TOLD: Final = ("expected", "actual")
_WORD: Final = re.compile(r"\w+")


def personal_names(*, team_id: int) -> frozenset[str]:
    """The keys of all fields, of contacts, companies, deals and own records, that a team marked; two statements."""
    return personal_names_of({team_id})


def personal_names_of(team_ids: Collection[int]) -> frozenset[str]:
    """The keys that any of these teams marked; two statements."""
    marked = FieldDefinition.objects.filter(team__in=team_ids, personal=True).values_list("key", flat=True)
    types = RecordType.objects.filter(team__in=team_ids).values_list("fields", flat=True)
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
    """Clauses of conditions without what they found in these fields, and without what that was compared with."""
    return [_clause(leaf, names) if isinstance(leaf, Mapping) else leaf for leaf in why]


def told_without_personal(answer: Mapping[str, Any], *, names: frozenset[str]) -> dict[str, Any]:
    """An answer that tells of decisions, with every list of clauses in it (`why`), at any depth, without them."""
    return {name: _told(name, each, names) for name, each in answer.items()}


def _told(name: str, value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, list):
        if name == "why":
            return reasons_without_personal(value, names=names)
        return [told_without_personal(each, names=names) if isinstance(each, Mapping) else each for each in value]
    return value


def _clause(leaf: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    found = without_personal(leaf, names=names)
    if names.isdisjoint(_WORD.findall(str(leaf.get("field") or ""))):
        return dict(found)
    # What equals the value of somebody tells it as well.
    return {name: HIDDEN if name in _TOLD and each is not None else each for name, each in found.items()}
