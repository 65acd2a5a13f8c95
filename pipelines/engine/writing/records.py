"""Changes of records: one statement per model and set of fields, and never a record of another team."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from django.apps import apps
from django.db import IntegrityError, models

from contacts.models import Record
from pipelines.engine.batch import Batch
from pipelines.engine.cause import caused_by
from pipelines.engine.changes import changes_of
from pipelines.engine.plain import plain
from pipelines.subjects import OWN, RECORD, SubjectType, subject_named, subject_types

CONTACT: Final = "contacts.contact"


class ForeignRecord(IntegrityError):
    """A step wants to point a record at one of another team; the run that asked for it fails alone."""


def write_updates(batch: Batch) -> None:
    """One statement per model and set of fields; later changes of one record win."""
    if not batch.updates:
        return
    told: dict[tuple[str, int], Mapping[str, Any]] = {}
    teams: dict[tuple[str, int], int] = {}
    # Every writer is checked, not only the last: a batch may hold runs of several teams.
    writers: set[tuple[tuple[str, int], int]] = set()
    for team_id, update in batch.updates:
        key = (update.model, update.pk)
        earlier = told.get(key)
        told[key] = update.values if earlier is None else {**earlier, **update.values}
        teams[key] = team_id
        writers.add((key, team_id))
    own = {key for key in told if key[0].startswith(OWN)}
    check_records(batch, {writer for writer in writers if writer[0] not in own} if own else writers)
    before = _before(batch, told, teams)
    columns: dict[tuple[str, tuple[str, ...]], list[tuple[int, tuple[Any, ...]]]] = {}
    customs: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    ordered = _Ordered()
    types = subject_types()
    for key, values in told.items():
        if key in own:
            continue
        label, pk = key
        fields, custom = types[label].split(values)
        if fields:
            names, cleaned = ordered.of(fields)
            columns.setdefault((label, names), []).append((pk, cleaned))
        if custom:
            customs.setdefault(label, []).append((pk, plain(custom)))
    for (label, names), rows in columns.items():
        _check_relations(batch, label, names, rows, teams)
        _update(batch, label, names, rows)
    for label, custom_rows in customs.items():
        batch.store.merge_values(apps.get_model(label), custom_rows)
    _write_own(batch)
    _announce(batch, told, teams, before)
    _note_cause(batch, told, teams)


class _Ordered:
    """Columns with their values in the order of their names; whole batches share the same ones."""

    def __init__(self) -> None:
        # With the mapping itself, so that no other can come to have its identity.
        self._known: dict[int, tuple[Mapping[str, Any], tuple[str, ...], tuple[Any, ...]]] = {}

    def of(self, fields: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        known = self._known.get(id(fields))
        if known is None:
            names = tuple(sorted(fields))
            known = self._known[id(fields)] = (fields, names, tuple(fields[name] for name in names))
        return known[1:]


def _before(
    batch: Batch, merged: Mapping[tuple[str, int], Mapping[str, Any]], teams: Mapping[tuple[str, int], int]
) -> dict[tuple[str, int], Mapping[str, Any]]:
    """The records as they are before the change, where somebody listens: one statement per model."""
    heard = _heard(batch)
    if not heard:
        return {}
    wanted: dict[str, list[int]] = {}
    for label, pk in merged:
        if teams[label, pk] in heard:
            wanted.setdefault(label, []).append(pk)
    return {(label, pk): row for label, ids in wanted.items() for pk, row in _kind(label).load(ids).items()}


def _kind(label: str) -> SubjectType:
    kind = subject_named(label)
    if kind is None:
        raise ForeignRecord(f"{label} is not a record that pipelines can change.")
    return kind


def _heard(batch: Batch) -> set[int]:
    return {facts.team.id for facts in batch.facts.values() if facts.heard}


def _announce(
    batch: Batch,
    merged: Mapping[tuple[str, int], Mapping[str, Any]],
    teams: Mapping[tuple[str, int], int],
    before: Mapping[tuple[str, int], Mapping[str, Any]],
) -> None:
    """Tell those who listen, in the teams where somebody may."""
    heard = _heard(batch)
    if not heard:
        return
    told: dict[int, dict[tuple[int, int], dict[str, list[Any]]]] = {}
    names: dict[int, set[str]] = {}
    for (label, pk), values in merged.items():
        team_id = teams[label, pk]
        if team_id in heard:
            kind = _kind(label)
            changes = changes_of(before.get((label, pk), {}), {**kind.split(values)[0], **kind.split(values)[1]})
            told.setdefault(team_id, {})[kind.content_type_id, pk] = changes
            names.setdefault(team_id, set()).update(values)
    if not told:
        return
    pipelines = {cursor.pipeline_id for cursor in batch.cursors}
    depth = max((cursor.depth for cursor in batch.cursors), default=0)
    with caused_by(depth, min(pipelines) if len(pipelines) == 1 else None):
        for team_id, changed in told.items():
            batch.store.announce(
                team_id=team_id, subjects=set(changed), fields=sorted(names[team_id]), changes=changed, now=batch.now
            )


def _note_cause(batch: Batch, told: Collection[tuple[str, int]], teams: Mapping[tuple[str, int], int]) -> None:
    """Where segments have rules, those who look at these contacts later know which pipeline changed them."""
    ruled = {facts.team.id for facts in batch.facts.values() if facts.ruled}
    if not ruled:
        return
    contacts = [pk for label, pk in told if label == CONTACT and teams[label, pk] in ruled]
    if contacts:
        pipelines = {cursor.pipeline_id for cursor in batch.cursors}
        depth = max((cursor.depth for cursor in batch.cursors), default=0) + 1
        batch.store.note_cause(contacts, depth=depth, origin=min(pipelines) if len(pipelines) == 1 else None)


def _write_own(batch: Batch) -> None:
    """Values of records of a team's own types: three statements for any number."""
    merged: dict[int, dict[str, Any]] = {}
    wanted: set[tuple[int, int, int]] = set()
    for team_id, update in batch.updates:
        if update.model.startswith(OWN):
            shape = batch.resources[team_id].record_type(update.model.removeprefix(OWN))
            merged.setdefault(update.pk, {}).update(plain(update.values))
            wanted.add((team_id, shape.id if shape else 0, update.pk))
    if not merged:
        return
    if not wanted <= batch.store.own_records(merged):
        raise ForeignRecord("There is no such record in this team.")
    batch.store.merge_values(Record, list(merged.items()), column="values")
    batch.store.update_rows(Record, ("updated_at",), [(pk, (batch.now,)) for pk in merged])


def check_records(batch: Batch, writers: Collection[tuple[tuple[str, int], int]]) -> None:
    """Refuse records that are neither the subject of a run nor of its team: one statement per model."""
    wanted: dict[str, set[tuple[int, int]]] = {}
    for (label, pk), team_id in writers:
        subject = batch.subject_at(label, pk)
        if subject is None or subject["team_id"] != team_id:
            wanted.setdefault(label, set()).add((team_id, pk))
    for label, pairs in wanted.items():
        table = RECORD if label.startswith(OWN) else label
        if not pairs <= batch.store.in_team(apps.get_model(table), [pk for _, pk in pairs]):
            raise ForeignRecord("There is no such record in this team.")


def _check_relations(
    batch: Batch,
    label: str,
    names: tuple[str, ...],
    rows: list[tuple[int, tuple[Any, ...]]],
    teams: Mapping[tuple[str, int], int],
) -> None:
    """Refuse relations to rows outside the team: one statement per relation that is written."""
    for index, name in enumerate(names):
        related = apps.get_model(label)._meta.get_field(name).related_model
        if not related:
            continue
        pairs = {(teams[label, pk], values[index]) for pk, values in rows if values[index] is not None}
        if pairs and not pairs <= batch.store.in_team(related, [value for _, value in pairs]):
            raise ForeignRecord(f"{name}: there is no such record in this team.")


def _update(batch: Batch, label: str, names: tuple[str, ...], rows: list[tuple[int, tuple[Any, ...]]]) -> None:
    model: type[models.Model] = apps.get_model(label)
    if any(field.name == "updated_at" for field in model._meta.concrete_fields):
        names = (*names, "updated_at")
        rows = [(pk, (*values, batch.now)) for pk, values in rows]
    batch.store.update_rows(model, names, rows)
