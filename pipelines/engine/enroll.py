"""Enrollment: subjects become runs, in one insert per batch, and every refusal keeps its reason."""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from crm.faults import point, register
from pipelines.definition.conditions import compile_condition
from pipelines.definition.durations import parse_duration
from pipelines.definition.variables import held, undeclared
from pipelines.engine.cause import is_test
from pipelines.engine.clock import engine_now
from pipelines.engine.cursor import InsertedRun, NewRun
from pipelines.engine.ending import end_trees
from pipelines.engine.entry import Candidate, Decision, Entry, Occasion, Refusal, context_of, decide, record_decisions
from pipelines.engine.keys import RESTART, WHILE_ACTIVE
from pipelines.engine.kick import kick
from pipelines.engine.limits import holders, within_limits
from pipelines.engine.occupied import held_by
from pipelines.engine.plain import plain
from pipelines.engine.programs import pipeline_facts, programs
from pipelines.engine.store import store
from pipelines.models import Pipeline, Trigger
from pipelines.subjects import subject_type

register("after_enroll", "the runs of new records are written, nothing is committed", in_transaction=True)


@dataclass(slots=True)
class EnrollResult:
    """Run ids of those who entered, and for the others why not."""

    enrolled: list[int] = field(default_factory=list)
    by_trigger: Counter[int | None] = field(default_factory=Counter)
    # By subject; None stands for an occasion that is about no record.
    decisions: dict[int | None, tuple[Decision, str]] = field(default_factory=dict)


class NotEnrollable(Exception):
    """The pipeline cannot take anyone: it is not active or is about other records."""


class Undeclared(NotEnrollable):
    """Values were given for variables that the pipeline does not declare; `names` says of each what is wrong."""

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(f"variables.{next(iter(names))}: {next(iter(names.values()))}")
        self.names = names


def enroll(
    *,
    pipeline: Pipeline,
    subject_ids: Sequence[int | None],
    by: Any = None,
    trigger: Trigger | None = None,
    payload: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    variables: Mapping[str, Any] | None = None,
    now: datetime | None = None,
    restarts: bool = True,
    test: bool = False,
) -> EnrollResult:
    """Put subjects into a pipeline by a trigger or, without one, by hand; those already in it stay where they are.

    By hand the first trigger of that kind decides, if the pipeline has one: who fits, who may come in again, and what
    the variables are that nobody gave. Without `restarts` nobody's run is ended to begin anew. Subjects of other teams
    are refused. Raises NotEnrollable when the pipeline is not active, and Undeclared for values that nothing reads.

    With `test` the runs are tests: nothing of them leaves or is counted, and limits and re-entry say nothing about
    them. People may start those of a pipeline that is published and not active yet.
    """
    check_open(pipeline, test=test)
    trigger = trigger or _by_hand(pipeline)
    reentry = trigger.reentry if trigger else WHILE_ACTIVE
    facts = pipeline_facts({pipeline.pk})[pipeline.pk]
    version_id = pipeline.current_version_id or 0
    loaded = programs({version_id})[version_id]
    strange = undeclared(variables or (), loaded.program.types)
    if strange:
        raise Undeclared(strange)
    entry = Entry(
        facts=facts,
        program=loaded.program,
        trigger_id=trigger.pk if trigger else None,
        trigger_revision=trigger.revision if trigger else 0,
        where=compile_condition(trigger.where) if trigger and trigger.where is not None else None,
        reentry=WHILE_ACTIVE if reentry == RESTART and not restarts else reentry,
        assign=trigger.assign if trigger else None,
        max_per_hour=trigger.max_per_hour if trigger else None,
        test=test,
    )
    with transaction.atomic():
        return enroll_batch(
            entries=[entry],
            subject_type_id=pipeline.subject_type_id,
            subject_ids=subject_ids,
            occasion=Occasion(now or engine_now(), payload, variables, idempotency_key or uuid.uuid4().hex),
        )


def check_open(pipeline: Pipeline, *, test: bool) -> None:
    """Raises NotEnrollable, with what to do about it."""
    if not test or is_test():
        # What a step of a test starts is held to what a real run would be held to.
        if pipeline.status != Pipeline.Status.ACTIVE or pipeline.current_version_id is None:
            raise NotEnrollable(f"{pipeline.name} is not active: activate it first.")
    elif pipeline.status == Pipeline.Status.ARCHIVED:
        raise NotEnrollable(f"{pipeline.name} is archived: duplicate it and publish the copy to test it.")
    elif pipeline.status == Pipeline.Status.PAUSED:
        raise NotEnrollable(f"{pipeline.name} is paused, so no run of it moves: resume it first.")
    elif pipeline.current_version_id is None:
        raise NotEnrollable(
            f"{pipeline.name} has no published version, and runs follow one: publish it first, it need not be active. "
            "A simulation plays the draft as it is."
        )


def _by_hand(pipeline: Pipeline) -> Trigger | None:
    """What the pipeline says about those whom somebody chooses; nothing where it has no such trigger, or it is off."""
    rows = Trigger.objects.filter(pipeline=pipeline, kind=Trigger.Kind.MANUAL, enabled=True)
    return rows.order_by("position", "pk").first()


def enroll_batch(
    *,
    entries: Sequence[Entry],
    subject_type_id: int | None,
    subject_ids: Sequence[int | None],
    occasion: Occasion,
) -> EnrollResult:
    """Put every subject through every entry, in the caller's transaction: one insert for all runs."""
    needed = not occasion.trusted or any(entry.reads_subject for entry in entries)
    loaded = _subjects(subject_type_id, subject_ids) if needed else {}
    return enroll_candidates(
        [
            Candidate(entry, subject_type_id, pk, loaded.get(pk) if pk is not None else None, occasion)
            for entry in entries
            for pk in subject_ids
        ],
        now=occasion.now,
    )


def enroll_candidates(
    candidates: Sequence[Candidate], *, now: datetime, refusals: Sequence[Refusal] = ()
) -> EnrollResult:
    """Decide about everybody and take in who may, in the caller's transaction; refusals of the caller are kept too."""
    entries = list({id(each.entry): each.entry for each in candidates}.values())
    rows: list[NewRun] = []
    refused = list(refusals)
    owners: dict[int, Candidate] = {}
    for each in candidates:
        outcome = decide(each.entry, each.subject_type_id, each.subject_id, each.subject, each.occasion)
        if isinstance(outcome, Refusal):
            refused.append(outcome)
        else:
            rows.append(outcome)
            owners[id(outcome)] = each
    test = any(entry.test for entry in entries)
    if not test:
        _free_keys(entries, rows, now)
        rows = within_limits(entries, rows, refused, now=now)
        _end_replaced(entries, rows, now)
    inserted = store().insert_runs(rows)
    entered = _entered(rows, inserted)
    refused.extend(_shut_out([(row, owners[id(row)]) for row in rows if id(row) not in entered]))
    _remember([(entered[id(row)], owners[id(row)]) for row in rows if id(row) in entered])
    if not test:
        record_decisions(refused, now)
    point("after_enroll")
    if any(row.next_step_at is not None and row.next_step_at <= now for row in rows):
        transaction.on_commit(kick)
    result = EnrollResult(enrolled=[run_id for run_id, *_ in inserted])
    result.by_trigger.update(row.trigger_id for row in rows if id(row) in entered)
    result.decisions.update({each.subject_id: (each.decision, _told(each)) for each in refused})
    return result


def _entered(rows: Sequence[NewRun], inserted: Sequence[InsertedRun]) -> dict[int, int]:
    """The run of each row that was inserted, by the row's identity; of equal keys the first one won."""
    left: dict[tuple[int, int | None, UUID | None], list[int]] = {}
    for run_id, pipeline_id, subject_id, dedup in inserted:
        left.setdefault((pipeline_id, subject_id, dedup), []).append(run_id)
    found: dict[int, int] = {}
    for row in rows:
        runs = left.get((row.pipeline_id, row.subject_id, row.dedup))
        if runs:
            found[id(row)] = runs.pop(0)
    return found


def _shut_out(several: Sequence[tuple[NewRun, Candidate]]) -> list[Refusal]:
    """Those whose place somebody has, each with the run that has it."""
    if not several:
        return []
    holding = held_by((row.pipeline_id, row.dedup) for row, _ in several)
    found = []
    for row, candidate in several:
        holder = holding.get((row.pipeline_id, row.dedup)) if row.dedup else None
        why = [holder.why(candidate.entry.reentry)] if holder else None
        found.append(candidate.refused(Decision.DUPLICATE, why))
    return found


def _told(refusal: Refusal) -> str:
    """The sentence of what went wrong, or of an exit rule that holds already, else the word of the decision."""
    errors = [why["error"] for why in refusal.why or [] if refusal.decision == Decision.ERROR and "error" in why]
    notes = [why["note"] for why in refusal.why or [] if "note" in why]
    return str((errors or notes or [refusal.decision.label])[0])


def _subjects(subject_type_id: int | None, ids: Sequence[int | None]) -> Mapping[int, dict[str, Any]]:
    if subject_type_id is None:
        return {}
    return subject_type(subject_type_id).load([pk for pk in ids if pk is not None])


def _free_keys(entries: Sequence[Entry], rows: Sequence[NewRun], now: datetime) -> None:
    """Free keys whose time is over (`after`)."""
    for entry in entries:
        if isinstance(entry.reentry, Mapping) and "after" in entry.reentry:
            since = now - timedelta(seconds=parse_duration(entry.reentry["after"]))
            holders(entry, rows).filter(finished_at__lt=since).update(dedup=None)


def _end_replaced(entries: Sequence[Entry], rows: Sequence[NewRun], now: datetime) -> None:
    """End the runs that a newcomer replaces (`restart`); who is refused replaces nobody."""
    for entry in entries:
        if entry.reentry != RESTART:
            continue
        live = list(holders(entry, rows).filter(finished_at__isnull=True).values_list("pk", flat=True))
        if live:
            end_trees(live, now=now, reason="restarted")


def _remember(entered: Sequence[tuple[int, Candidate]]) -> None:
    """Keep what a run was started with, for those who have something to keep."""
    rows: list[tuple[int, Any, Any]] = []
    for run_id, candidate in entered:
        entry, occasion = candidate.entry, candidate.occasion
        if not occasion.payload and not occasion.variables and not entry.assign:
            continue
        # What somebody gave stands before what the trigger says, as in the conditions at the door.
        given = dict(occasion.variables or {})
        found = {**entry.assigned(context_of(entry, candidate.subject, occasion)), **given} if entry.assign else given
        rows.append((run_id, plain(occasion.payload or {}), plain(held(entry.program.types, found))))
    if rows:
        store().insert_memories(rows)
