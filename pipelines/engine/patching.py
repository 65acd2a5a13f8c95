"""What a step changes of a record is seen by those after it in the same transaction, as a reload would show it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.actions.base import Done, Outcome, Update
from pipelines.engine.batch import Batch
from pipelines.engine.plain import plain
from pipelines.engine.writing import write_records
from pipelines.managers import OWNER
from pipelines.subjects import OWN, SubjectType, subject_named, subject_types


def load_related(batch: Batch, outcomes: Sequence[Outcome]) -> None:
    """Read the records that these outcomes relate subjects to, for who reads them later: a statement per relation.

    The managers of new owners take one more, where anything reads managers.
    """
    wanted: dict[str, set[int]] = {}
    owners = set[tuple[int, int]]()
    for outcome in outcomes:
        if outcome.__class__ is Done:
            for change in outcome.changes:
                if change.__class__ is Update:
                    _note_relations(batch, change, wanted, owners)
    if not wanted and not owners:
        return
    # What steps before this one changed in the same transaction must be in there.
    write_records(batch)
    for name, ids in wanted.items():
        batch.related.add(batch.subjects, name, batch.store.related(name, ids))
    if owners:
        batch.related.add_managers(owners, batch.store.managers(owners))


def _note_relations(batch: Batch, change: Update, wanted: dict[str, set[int]], owners: set[tuple[int, int]]) -> None:
    """Note the relations that a change gives a subject and that nobody has read yet; what is refused gives none."""
    kind = subject_named(change.model)
    if kind is None or not kind.relates(change.values):
        return
    data = batch.subject_at(change.model, change.pk)
    try:
        columns, _ = kind.split(change.values)
    except ValueError:
        return
    for name in kind.relations:
        pk = columns.get(name)
        if pk is None or data is None or name not in data:
            continue
        if not batch.related.knows(name, pk):
            wanted.setdefault(name, set()).add(pk)
        if name == OWNER and batch.reads_managers and not batch.related.knows_manager(data["team_id"], pk):
            owners.add((data["team_id"], pk))


def judge(update: Update) -> tuple[SubjectType, Mapping[str, Any], Mapping[str, Any]] | None:
    """The kind of record, its columns and its own values; None for own records that are no subject.

    Raises ValueError with a sentence for a record that cannot be changed so.
    """
    # `contacts.record` names no subject, and its rows can be changed all the same.
    kind = subject_named(update.model) or subject_types().get(update.model)
    if kind is None:
        if update.model.startswith(OWN):
            return None
        raise ValueError(f"{update.model} is not a record that pipelines can change.")
    return kind, *kind.split(update.values)


def patch(batch: Batch, update: Update) -> None:
    """Let later steps of this transaction see a planned change: of a subject, and of what subjects are related to.

    Raises ValueError with a sentence, and changes nothing, for a record that cannot be changed so.
    """
    found = judge(update)
    if found is None:
        return
    kind, columns, custom = found
    data = batch.subject_at(update.model, update.pk)
    if data is not None:
        if columns:
            _set_columns(batch, kind, data, columns)
        if custom:
            _set_values(kind, data, custom)
        if (columns or kind.keeps_values_alone) and "updated_at" in data:
            data["updated_at"] = batch.now
    for related in batch.related.parts(batch.subjects, update.model, update.pk):
        related.update({name: value for name, value in columns.items() if name in related})


def _set_columns(batch: Batch, kind: SubjectType, data: dict[str, Any], columns: Mapping[str, Any]) -> None:
    for name, value in columns.items():
        if name not in kind.relations:
            data[name] = value
        elif name in data:
            data[name] = batch.related.record(name, value, team_id=data["team_id"])
    if not kind.name_parts.isdisjoint(columns):
        kind.derive(data)


def _set_values(kind: SubjectType, data: dict[str, Any], custom: Mapping[str, Any]) -> None:
    """A null is kept, as the write keeps it; columns hide values of the same name."""
    stored = plain(custom)
    data.update({name: value for name, value in stored.items() if name not in kind.hiding})
    if not kind.keeps_values_alone:
        # A new object, for the old one may be on its way into another record.
        data["custom"] = {**data["custom"], **stored}
