"""Records that subjects of a batch are related to, as their subjects hold them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from pipelines.managers import NAME, OWNER
from pipelines.subjects import RELATED_MODELS, subject_type

_LABELS: Final = frozenset(RELATED_MODELS.values())
Subjects = Mapping[tuple[int, int], dict[str, Any]]


class Related:
    """Which parts of subjects show a record, and the records that steps relate subjects to."""

    __slots__ = ("_known", "_managers", "_shown")

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], dict[str, Any]] = {}
        # By team and owner, for records that steps give another owner.
        self._managers: dict[tuple[int, int], dict[str, Any] | None] = {}
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

    def knows_manager(self, team_id: int, owner_id: int) -> bool:
        return (team_id, owner_id) in self._managers

    def add_managers(
        self, owners: Collection[tuple[int, int]], managers: Mapping[tuple[int, int], dict[str, Any]]
    ) -> None:
        """Remember the managers of these owners, each a (team, user); who is missing has none."""
        self._managers.update({owner: managers.get(owner) for owner in owners})

    def record(self, relation: str, pk: int | None, *, team_id: int) -> dict[str, Any] | None:
        """What a subject of this team holds once it is related to this record; None where there is no such record."""
        found = self._known.get((relation, pk)) if pk is not None else None
        if found is None or relation != OWNER or (team_id, pk) not in self._managers:
            return found
        return {**found, NAME: self._managers[team_id, found["id"]]}

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
