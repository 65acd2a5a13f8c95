"""Records that subjects of a batch are related to, as their subjects hold them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipelines.subjects import RELATED_MODELS, subject_type

_LABELS: Final = frozenset(RELATED_MODELS.values())
Subjects = Mapping[tuple[int, int], dict[str, Any]]


class Related:
    """Which parts of subjects show a record, and the records that steps relate subjects to."""

    __slots__ = ("_known", "_shown")

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], dict[str, Any]] = {}
        # By model and id, for models that somebody asked about.
        self._shown: dict[str, dict[int, list[dict[str, Any]]]] = {}

    def knows(self, relation: str, pk: int) -> bool:
        return (relation, pk) in self._known

    def add(self, subjects: Subjects, relation: str, records: Mapping[int, dict[str, Any]]) -> None:
        """Remember records that were read because a step relates a subject to them."""
        shown = self._of(subjects, RELATED_MODELS[relation])
        for pk, record in records.items():
            self._known[relation, pk] = record
            shown.setdefault(pk, []).append(record)

    def record(self, relation: str, pk: int | None) -> dict[str, Any] | None:
        """What a subject holds once it is related to this record; None where there is no such record."""
        return self._known.get((relation, pk)) if pk is not None else None

    def parts(self, subjects: Subjects, label: str, pk: int) -> Sequence[dict[str, Any]]:
        """All parts of subjects that show this record."""
        return self._of(subjects, label).get(pk, ()) if label in _LABELS else ()

    def _of(self, subjects: Subjects, label: str) -> dict[int, list[dict[str, Any]]]:
        shown = self._shown.get(label)
        if shown is None:
            shown = self._shown[label] = {}
            names = {type_id: _relations_to(type_id, label) for type_id in {key[0] for key in subjects}}
            for (type_id, _), data in subjects.items() if any(names.values()) else ():
                for name in names[type_id]:
                    part = data.get(name)
                    if part.__class__ is dict and part.get("model") == label:
                        shown.setdefault(part["id"], []).append(part)
        return shown


def _relations_to(type_id: int, label: str) -> tuple[str, ...]:
    return tuple(name for name in subject_type(type_id).relations if RELATED_MODELS[name] == label)
