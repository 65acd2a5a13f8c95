"""What a change of a type's fields means for the values that its records hold already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Q
from django.db.models.fields.json import KeyTextTransform, KeyTransform

from contacts.models import Record, RecordType

Field = Mapping[str, Any]
# Every stored value is a text or is shown as one, so nothing is lost by becoming one of these.
_TAKE_ANYTHING: Final = ("text", "textarea")


@dataclass(frozen=True, slots=True)
class Touched:
    """A change of one field, and how many records it matters to."""

    key: str
    sentence: str
    records: int

    def __str__(self) -> str:
        return f"{self.records:,} record{' has' if self.records == 1 else 's have'} {self.sentence}"


@dataclass(frozen=True, slots=True)
class _Change:
    key: str
    sentence: str
    # Which records it matters to: those with a value, those without one, or those with one of these values.
    missing: bool = False
    options: tuple[str, ...] = ()

    @property
    def value(self) -> KeyTransform:
        """What a record holds under the key; options are looked for as texts."""
        return (KeyTextTransform if self.options else KeyTransform)(self.key, "values")

    def matters_to(self, name: str) -> Q:
        if self.options:
            return Q(**{f"{name}__in": self.options})
        # A value that was taken away is stored as a null of JSON, which is none.
        none = Q(**{f"{name}__isnull": True}) | Q(**{name: None})
        return none if self.missing else ~none


def touched_values(*, kind: RecordType, fields: Sequence[Field]) -> list[Touched]:
    """The changes from the fields a type has to these that matter to records it has; one statement."""
    changes = _changes(kind.fields, fields)
    if not changes:
        return []
    names = {f"value_{index}": change for index, change in enumerate(changes)}
    rows = Record.objects.filter(type=kind).annotate(**{name: change.value for name, change in names.items()})
    counts = rows.aggregate(
        **{f"{name}_n": Count("pk", filter=change.matters_to(name)) for name, change in names.items()}
    )
    found = [Touched(change.key, change.sentence, counts[f"{name}_n"]) for name, change in names.items()]
    return [each for each in found if each.records]


def _changes(before: Sequence[Field], after: Sequence[Field]) -> list[_Change]:
    kept = {str(field["key"]): field for field in after}
    old = {str(field["key"]): field for field in before}
    found: list[_Change] = []
    for key, field in old.items():
        now = kept.get(key)
        if now is None:
            found.append(_Change(key, f"a value in “{key}”, which goes: it is kept, but no form shows it any more."))
        else:
            found += _of_kind(key, field, now)
    for key, now in kept.items():
        if now.get("required") and not (key in old and old[key].get("required")):
            found.append(
                _Change(
                    key,
                    f"no value in “{key}”, which becomes required: it is asked for when they are next edited.",
                    True,
                )
            )
    return found


def _of_kind(key: str, field: Field, now: Field) -> list[_Change]:
    if now["type"] != field["type"]:
        if now["type"] in _TAKE_ANYTHING:
            return []
        return [
            _Change(
                key,
                f"a value in “{key}”, which becomes another type: what does not fit stays until they are next edited.",
            )
        ]
    gone = tuple(each for each in field.get("options") or () if each not in (now.get("options") or ()))
    if not gone:
        return []
    named = ", ".join(f"“{each}”" for each in gone[:5]) + (" …" if len(gone) > 5 else "")
    return [_Change(key, f"{named} in “{key}”, no longer offered: it stays until they are next edited.", options=gone)]
