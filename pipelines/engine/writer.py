"""Writes a batch down: a fixed number of statements, each over all of its runs."""

import os
import uuid
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from django.apps import apps
from django.db import IntegrityError, models

from crm.models import Member, Notification, Task
from pipelines.actions.base import Create
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Cursor
from pipelines.engine.outbox import queue_effects
from pipelines.engine.store.stats import StatCell
from pipelines.models import StepExecution
from pipelines.subjects import subject_types

SLOTS = 32


class ForeignRecord(IntegrityError):
    """A step wants to point a record at one of another team; the run that asked for it fails alone."""


def flush(batch: Batch) -> None:
    """Write everything a batch decided, inside the caller's transaction."""
    _write_updates(batch)
    _write_creates(batch)
    queue_effects(batch)
    dirty = [(run_id, memory) for run_id, memory in batch.memories.items() if memory.dirty]
    if dirty:
        batch.store.save_memories(dirty)
    batch.store.close_visits(batch.cursors, batch.visits, _cells(batch), at=batch.now, batch=uuid.uuid4())


def _write_updates(batch: Batch) -> None:
    """One statement per model and set of fields; later changes of one record win."""
    merged: dict[tuple[str, int], dict[str, Any]] = {}
    teams: dict[tuple[str, int], int] = {}
    for team_id, update in batch.updates:
        merged.setdefault((update.model, update.pk), {}).update(update.values)
        teams[update.model, update.pk] = team_id
    # Every writer is checked, not only the last: a batch may hold runs of several teams.
    _check_records(batch, {((update.model, update.pk), team_id) for team_id, update in batch.updates})
    columns: dict[tuple[str, tuple[str, ...]], list[tuple[int, tuple[Any, ...]]]] = {}
    customs: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for (label, pk), values in merged.items():
        fields, custom = subject_types()[label].split(values)
        if fields:
            names = tuple(sorted(fields))
            columns.setdefault((label, names), []).append((pk, tuple(fields[name] for name in names)))
        if custom:
            customs.setdefault(label, []).append((pk, custom))
    for (label, names), rows in columns.items():
        _check_relations(label, names, rows, teams)
        _update(batch, label, names, rows)
    for label, custom_rows in customs.items():
        batch.store.merge_custom(apps.get_model(label), custom_rows)


def _check_records(batch: Batch, writers: Collection[tuple[tuple[str, int], int]]) -> None:
    """Refuse records that are neither the subject of a run nor of its team: one statement per model."""
    wanted: dict[str, set[tuple[int, int]]] = {}
    for (label, pk), team_id in writers:
        subject = batch.subjects.get((subject_types()[label].content_type_id, pk))
        if subject is None or subject["team_id"] != team_id:
            wanted.setdefault(label, set()).add((team_id, pk))
    for label, pairs in wanted.items():
        if not pairs <= _pairs_in_team(apps.get_model(label), [pk for _, pk in pairs]):
            raise ForeignRecord("There is no such record in this team.")


def _check_relations(
    label: str, names: tuple[str, ...], rows: list[tuple[int, tuple[Any, ...]]], teams: Mapping[tuple[str, int], int]
) -> None:
    """Refuse relations to rows outside the team: one statement per relation that is written."""
    for index, name in enumerate(names):
        related = apps.get_model(label)._meta.get_field(name).related_model
        if not related:
            continue
        pairs = {(teams[label, pk], values[index]) for pk, values in rows if values[index] is not None}
        if pairs and not pairs <= _pairs_in_team(related, [value for _, value in pairs]):
            raise ForeignRecord(f"{name}: there is no such record in this team.")


def _pairs_in_team(model: Any, ids: Sequence[int]) -> set[tuple[int, int]]:
    """(team, id) of these rows; people belong to the teams they are members of."""
    if model._meta.label_lower == "auth.user":
        return set(Member.objects.filter(user_id__in=ids).values_list("team_id", "user_id"))
    return set(model._default_manager.filter(pk__in=ids).values_list("team_id", "pk"))


def _update(batch: Batch, label: str, names: tuple[str, ...], rows: list[tuple[int, tuple[Any, ...]]]) -> None:
    model: type[models.Model] = apps.get_model(label)
    if any(field.name == "updated_at" for field in model._meta.concrete_fields):
        names = (*names, "updated_at")
        rows = [(pk, (*values, batch.now)) for pk, values in rows]
    batch.store.update_rows(model, names, rows)


def _write_creates(batch: Batch) -> None:
    tasks = [each for each in batch.creates if each[2].model == "crm.task"]
    notes = [each for each in batch.creates if each[2].model == "crm.notification"]
    if not tasks and not notes:
        return
    people = _People(batch)
    if tasks:
        batch.store.create_rows(Task, [_task(batch, people, *each) for each in tasks])
    if notes:
        rows = [row for cursor, _, create in notes for row in _notifications(batch, people, cursor, create)]
        batch.store.create_rows(Notification, rows)


class _People:
    """Members of the teams of a batch, found by id, address or record; never anyone else. Read when first asked for."""

    def __init__(self, batch: Batch) -> None:
        self._teams = {batch.facts[cursor.pipeline_id].team.id for cursor, _, _ in batch.creates}

    @cached_property
    def _members(self) -> list[tuple[int, int, str, str]]:
        rows = Member.objects.filter(team_id__in=self._teams, user__is_active=True).order_by("pk")
        return list(rows.values_list("team_id", "user_id", "user__email", "role"))

    def find(self, team_id: int, who: Any) -> int | None:
        wanted = who.get("id") if isinstance(who, dict) else who
        for team, user_id, email, _ in self._members:
            if team == team_id and (user_id == wanted or str(email).lower() == str(wanted).lower()):
                return int(user_id)
        return None

    def owners(self, team_id: int) -> list[int]:
        return [int(user_id) for team, user_id, _, role in self._members if team == team_id and role == "owner"]


def _task(batch: Batch, people: _People, cursor: Cursor, seq: int, create: Create) -> dict[str, Any]:
    team_id = batch.facts[cursor.pipeline_id].team.id
    values = dict(create.values)
    return {
        "team_id": team_id,
        "title": values["title"],
        "description": values["description"],
        "priority": values["priority"],
        "due_at": values["due_at"],
        "assignee_id": people.find(team_id, values["assignee"]) if values["assignee"] else None,
        "subject_type_id": cursor.subject_type_id,
        "subject_id": cursor.subject_id,
        "run_id": cursor.id,
        "run_seq": seq,
    }


def _notifications(batch: Batch, people: _People, cursor: Cursor, create: Create) -> list[dict[str, Any]]:
    team_id = batch.facts[cursor.pipeline_id].team.id
    found = people.find(team_id, create.values["user"]) if create.values["user"] else None
    return [
        {
            "team_id": team_id,
            "user_id": user_id,
            "title": create.values["title"],
            "body": create.values["body"],
            "about_type_id": cursor.subject_type_id,
            "about_id": cursor.subject_id,
            "run_id": cursor.id,
            "created_at": batch.now,
        }
        for user_id in ([found] if found else people.owners(team_id))
    ]


def _cells(batch: Batch) -> Sequence[StatCell]:
    """What this batch adds to the statistics, one cell per step and outcome."""
    slot, day = os.getpid() % SLOTS, batch.now.date()
    cells: dict[tuple[int, str], StatCell] = {}
    for visit in batch.visits:
        name = visit.outcome or StepExecution.Event(visit.event).name.lower()
        key = (visit.step_id, name)
        cell = cells.get(key)
        if cell is None:
            cell = cells[key] = StatCell(step_id=visit.step_id, day=day, slot=slot, outcome=name)
        cell.add(seconds=(visit.finished_at - visit.started_at).total_seconds())
    return list(cells.values())
