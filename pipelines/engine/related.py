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
        self._shown: dict[tuple[str, int], list[dict[str, Any]]] | None = None

    def knows(self, relation: str, pk: int) -> bool:
        return (relation, pk) in self._known

    def add(self, subjects: Subjects, relation: str, records: Mapping[int, dict[str, Any]]) -> None:
        """Remember records that were read because a step relates a subject to them."""
        shown = self._all(subjects)
        for pk, record in records.items():
            self._known[relation, pk] = record
            shown.setdefault((RELATED_MODELS[relation], pk), []).append(record)

    def record(self, relation: str, pk: int | None) -> dict[str, Any] | None:
        """What a subject holds once it is related to this record; None where there is no such record."""
        return self._known.get((relation, pk)) if pk is not None else None

    def parts(self, subjects: Subjects, label: str, pk: int) -> Sequence[dict[str, Any]]:
        """All parts of subjects that show this record."""
        return self._all(subjects).get((label, pk), ()) if label in _LABELS else ()

    def _all(self, subjects: Subjects) -> dict[tuple[str, int], list[dict[str, Any]]]:
        if self._shown is None:
            self._shown = {}
            relations = {type_id: subject_type(type_id).relations for type_id in {key[0] for key in subjects}}
            for (type_id, _), data in subjects.items():
                for name in relations[type_id]:
                    part = data.get(name)
                    if part.__class__ is dict and part.get("model") == RELATED_MODELS[name]:
                        self._shown.setdefault((RELATED_MODELS[name], part["id"]), []).append(part)
        return self._shown
