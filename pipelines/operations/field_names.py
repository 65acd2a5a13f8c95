"""Names of fields that look like a slip: what is wrong with each, and what was meant."""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

from pipelines.managers import FIELDS, NAME, OWNER
from pipelines.operations.field_types import FieldTypes, columns_of, registered
from pipelines.subjects import RELATED_FIELDS, SubjectType

# Nearer than `last_activity` is to `last_interaction`, which are two fields.
ALIKE: Final = 0.8


def slip(
    names: tuple[str, ...],
    kind: SubjectType,
    fields: FieldTypes,
    *,
    also: Collection[str] = (),
    deliberate: bool = False,
) -> str:
    """What is wrong in `frist`, in `custom.frist` or in `company.frist`; empty when it may be so.

    Records of own types hold what their type defines. Others may hold anything under `custom`, so of them a name is
    told that is nearly one they have, or any in a team that defined its fields, unless it is `deliberate`. `also`
    names what steps write.
    """
    if not names or names[0] in also:
        return ""
    columns = columns_of(kind)
    if kind.record_type and not fields.knows(kind.label):
        return ""
    if kind.record_type:
        return "" if names[0] in columns else _unknown(names[0], kind, _own(kind, fields), every=True)
    if names[0] in kind.relations and len(names) > 1:
        return _of_related(names, kind)
    if names[0] == "custom" and len(names) > 1:
        if names[1] in also:
            return ""
        names, columns = names[1:], registered(kind)
    if names[0] in columns | {"custom"}:
        return ""
    own = _own(kind, fields)
    return _unknown(names[0], kind, columns | own, defined=bool(own) and not deliberate)


def _of_related(names: tuple[str, ...], kind: SubjectType) -> str:
    if names[0] != OWNER:
        return _unknown(names[1], kind, {*RELATED_FIELDS[names[0]], "model"})
    if names[1] == NAME and len(names) > 2:
        return _unknown(names[2], kind, {*FIELDS, "model"})
    return _unknown(names[1], kind, {*FIELDS, "model", NAME})


def _own(kind: SubjectType, fields: FieldTypes) -> frozenset[str]:
    return frozenset(str(each["key"]) for each in fields.own(kind.label))


def _unknown(
    name: str, kind: SubjectType, known: Collection[str], *, defined: bool = False, every: bool = False
) -> str:
    if name in known:
        return ""
    meant = get_close_matches(name, sorted(known), n=1, cutoff=ALIKE)
    hint = f"; did you mean '{meant[0]}'?" if meant else ""
    if every:
        return f"{kind.name} has no field '{name}'{hint or '; it has ' + ', '.join(sorted(known))}"
    if defined:
        return f"{kind.name} has no field '{name}', and your team has not defined one{hint}"
    return f"{kind.name} has no field '{name}' unless you added one{hint}" if hint else ""
