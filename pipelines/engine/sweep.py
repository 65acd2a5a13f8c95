"""Finds new records that slipped past the observer (bulk writes, failed enrollments) and enrolls them."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import connection, transaction

from pipelines.engine.automatic import entries_for, keep_failure
from pipelines.engine.enroll import enroll_batch
from pipelines.engine.entry import Occasion
from pipelines.engine.glance import Glance
from pipelines.engine.store import store
from pipelines.models import EngineState, EnrollmentDecision, Pipeline, PipelineRun, Trigger
from pipelines.subjects import RECORD, SubjectType, subject_types

log = logging.getLogger(__name__)

LIMIT = 5_000
RETRY_LIMIT = 1_000

MISSED = """
SELECT c.id, t.pipeline_id, p.team_id
  FROM {table} c
  JOIN pipelines_pipeline p ON p.team_id = c.team_id
  JOIN pipelines_trigger t ON t.pipeline_id = p.id
 WHERE c.id > %s AND t.model_id = %s AND t.kind = %s AND t.enabled AND t.armed_at IS NOT NULL
   AND p.status = %s AND p.current_version_id IS NOT NULL AND c.created_at >= t.armed_at{typed}
   AND NOT EXISTS (SELECT 1 FROM pipelines_pipelinerun r
                    WHERE r.subject_type_id = %s AND r.subject_id = c.id AND r.pipeline_id = t.pipeline_id
                      AND NOT r.test)
   AND NOT EXISTS (SELECT 1 FROM pipelines_enrollmentdecision d
                    WHERE d.subject_type_id = %s AND d.subject_id = c.id AND d.trigger_id = t.id)
 ORDER BY c.id LIMIT %s
"""
# Records of all types share one table; each enters what is about its own type.
OF_TYPE = """
   AND EXISTS (SELECT 1 FROM contacts_recordtype k WHERE k.id = c.type_id AND k.key = p.subject_record)"""


def sweep(*, now: datetime, glance: Glance) -> int:
    """Enroll what the observer did not see; the number of runs that came of it."""
    found = retry_failed(now=now) if glance.undecided else 0
    marks = {label: Mark(**glance.states.get(_name(label), (None, {}))[1]) for label in glance.newest}
    fresh = [label for label, newest in glance.newest.items() if newest > marks[label].after]
    armed = _armed_models() if fresh else set()
    for label in fresh:
        kind = subject_types()[label]
        if kind.content_type_id in armed:
            found += _sweep_model(kind, marks[label], now)
    if found:
        log.info("found by sweep: %s", found)
    return found


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the records of a model have been looked at.

    Everything up to `after` is settled for good. Everything up to `seen` was looked at once, while transactions
    before `until` were still open: they may yet commit records with smaller ids.
    """

    after: int = 0
    seen: int = 0
    until: int = 0


def retry_failed(*, now: datetime) -> int:
    """Try enrollments again that an error stopped; each is settled by what happens now."""
    open_rows = list(EnrollmentDecision.objects.filter(settled=False).order_by("pk")[:RETRY_LIMIT])
    enrolled = 0
    groups: dict[tuple[int, int], list[EnrollmentDecision]] = {}
    for row in open_rows:
        if row.subject_type_id is not None and row.subject_id is not None:
            groups.setdefault((row.subject_type_id, row.pipeline_id), []).append(row)
    for (type_id, pipeline_id), rows in groups.items():
        enrolled += _retry_group(type_id, pipeline_id, rows, now)
    return enrolled


def _retry_group(type_id: int, pipeline_id: int, rows: Sequence[EnrollmentDecision], now: datetime) -> int:
    team_ids = list(Pipeline.objects.filter(pk=pipeline_id).values_list("team_id", flat=True))
    try:
        with transaction.atomic():
            entries = entries_for(subject_type_id=type_id, team_ids=team_ids, pipeline_ids=[pipeline_id])
            EnrollmentDecision.objects.filter(pk__in=[row.pk for row in rows]).update(settled=True)
            ids = [row.subject_id for row in rows]
            waiting = _without_runs(pipeline_id, type_id, ids)
            came = {row.subject_id: row.at for row in rows if row.subject_id is not None}
            result = [
                enroll_batch(
                    entries=found, subject_type_id=type_id, subject_ids=waiting, occasion=Occasion(now, came=came)
                )
                for found in entries.values()
            ]
        return sum(len(each.enrolled) for each in result)
    except Exception:
        log.exception("enrollment failed again for pipeline %s", pipeline_id)
        return 0


def _without_runs(pipeline_id: int, type_id: int, ids: Sequence[int | None]) -> list[int]:
    have = set(
        PipelineRun.objects.real()
        .filter(
            subject_type_id=type_id,
            subject_id__in=[pk for pk in ids if pk is not None],
            pipeline_id=pipeline_id,
        )
        .values_list("subject_id", flat=True)
    )
    return [pk for pk in dict.fromkeys(ids) if pk is not None and pk not in have]


def _armed_models() -> set[int]:
    """Content types that some active pipeline takes in by itself."""
    triggers = Trigger.objects.filter(
        kind=Trigger.Kind.CREATED,
        enabled=True,
        armed_at__isnull=False,
        pipeline__status=Pipeline.Status.ACTIVE,
    )
    return set(triggers.order_by().values_list("model_id", flat=True).distinct())


def _sweep_model(kind: SubjectType, mark: Mark, now: datetime) -> int:
    """Look at the records after the mark, and move the mark behind those that are settled."""
    horizon = store().horizon()
    newest = kind.model._default_manager.order_by("-pk").values_list("pk", flat=True).first()
    if newest is None:
        return 0
    missed = _missed(kind, mark.after)
    groups: dict[tuple[int, int], list[int]] = {}
    for pk, pipeline_id, team_id in missed:
        groups.setdefault((pipeline_id, team_id), []).append(pk)
    found = [_enroll(kind, *group, ids, now) for group, ids in groups.items()]
    if None not in found:
        most = missed[-1][0] - 1 if len(missed) == LIMIT else newest
        _move_mark(kind, mark, newest, most, horizon)
    return sum(count or 0 for count in found)


def _move_mark(kind: SubjectType, mark: Mark, newest: int, most: int, horizon: tuple[int, int] | None) -> None:
    """Ids commit out of order, so on PostgreSQL a record is settled once all who wrote beside it have ended."""
    if horizon is None:
        moved = Mark(after=most, seen=newest)
    else:
        oldest, upcoming = horizon
        if mark.seen > mark.after and mark.until > oldest:
            return
        moved = Mark(after=max(mark.after, min(mark.seen, most)), seen=newest, until=upcoming)
    if moved != mark:
        EngineState.objects.update_or_create(name=_name(kind.label), defaults={"data": asdict(moved)})


def _missed(kind: SubjectType, after: int) -> list[tuple[int, int, int]]:
    """(record, pipeline, team) for records that have neither a run nor a decision for a trigger that awaits them."""
    with connection.cursor() as cursor:
        cursor.execute(
            MISSED.format(
                table=connection.ops.quote_name(kind.model._meta.db_table),
                typed=OF_TYPE if kind.label == RECORD else "",
            ),
            [
                after,
                kind.content_type_id,
                Trigger.Kind.CREATED.value,
                Pipeline.Status.ACTIVE.value,
                kind.content_type_id,
                kind.content_type_id,
                LIMIT,
            ],
        )
        return [(int(pk), int(pipeline_id), int(team_id)) for pk, pipeline_id, team_id in cursor.fetchall()]


def _name(label: str) -> str:
    """The note that keeps the mark of a model."""
    return f"sweep:{label}"


def _enroll(kind: SubjectType, pipeline_id: int, team_id: int, ids: Sequence[int], now: datetime) -> int | None:
    """The number of runs that came of it; None when it failed and could not even be noted."""
    try:
        with transaction.atomic():
            entries = entries_for(
                subject_type_id=kind.content_type_id, team_ids=[team_id], pipeline_ids=[pipeline_id]
            ).get(team_id, [])
            if not entries:
                return 0
            result = enroll_batch(
                entries=entries, subject_type_id=kind.content_type_id, subject_ids=ids, occasion=Occasion(now)
            )
        return len(result.enrolled)
    except Exception as error:
        log.exception("the sweep could not enroll into pipeline %s", pipeline_id)
        noted = keep_failure(kind=kind, ids=ids, team_id=team_id, now=now, error=error, pipeline_ids=[pipeline_id])
        return 0 if noted else None
