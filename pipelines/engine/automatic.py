"""Automatic pipelines: every new record of a model enters them, in the transaction that saved it."""

import json
import logging
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from django.db import connection, transaction

from pipelines.definition.conditions import Condition, compile_condition
from pipelines.engine.cause import is_test
from pipelines.engine.clock import engine_now
from pipelines.engine.enroll import EnrollResult, enroll_batch
from pipelines.engine.entry import Entry, Occasion
from pipelines.engine.programs import facts_of, programs
from pipelines.engine.short_way import enter_shortly, remember_ways
from pipelines.models import EnrollmentDecision, Pipeline, Trigger
from pipelines.subjects import SubjectType

log = logging.getLogger(__name__)

IMPORTED: Final = "Imported without entering automatic pipelines."
MADE_BY_A_TEST: Final = "Made by a test run, which starts nothing for real."

# Asked at every save of a record, so written by hand: building it anew each time costs more than running it.
OPEN = """
SELECT t.id, t.revision, t."where", t.reentry, t.assign, t.max_per_hour,
       p.id, p.key, p.name, p.status, p.current_version_id, p.subject_record,
       m.id, m.name, m.timezone, m.sender_name, m.sender_email, m.reply_to
  FROM pipelines_trigger t JOIN pipelines_pipeline p ON p.id = t.pipeline_id JOIN crm_team m ON m.id = p.team_id
 WHERE t.model_id = %s AND t.kind = %s AND t.enabled
   AND p.status = %s AND p.current_version_id IS NOT NULL AND p.team_id IN ({teams}){more}
 ORDER BY t.id
"""


def entries_for(
    *, subject_type_id: int, team_ids: Collection[int], pipeline_ids: Collection[int] | None = None
) -> dict[int, list[Entry]]:
    """The ways in that are open for new records of a model, by team: two statements at most.

    Triggers are read at every call, so an edit takes effect at once in every process.
    """
    found: dict[int, list[Entry]] = {}
    rows = _open_ways(subject_type_id, team_ids, pipeline_ids)
    loaded = programs({row[10] for row in rows})
    for trigger_id, revision, where, reentry, assign, max_per_hour, *facts in rows:
        entry = Entry(
            facts=facts_of(facts),
            program=loaded[facts[4]].program,
            trigger_id=trigger_id,
            trigger_revision=revision,
            where=_condition(where) if where is not None else None,
            reentry=_parsed(reentry),
            assign=_parsed(assign),
            max_per_hour=max_per_hour,
        )
        found.setdefault(entry.facts.team.id, []).append(entry)
    return found


def _open_ways(
    subject_type_id: int, team_ids: Collection[int], pipeline_ids: Collection[int] | None
) -> list[tuple[Any, ...]]:
    if not team_ids or (pipeline_ids is not None and not pipeline_ids):
        return []
    teams = ", ".join(["%s"] * len(team_ids))
    more = f" AND p.id IN ({', '.join(['%s'] * len(pipeline_ids))})" if pipeline_ids is not None else ""
    fixed = [subject_type_id, Trigger.Kind.CREATED.value, Pipeline.Status.ACTIVE.value]
    with connection.cursor() as cursor:
        cursor.execute(OPEN.format(teams=teams, more=more), [*fixed, *team_ids, *(pipeline_ids or ())])
        return list(cursor.fetchall())


def _parsed(column: Any) -> Any:
    """Both databases hand documents out as text where nobody stands between."""
    return json.loads(column) if isinstance(column, str) else column


@lru_cache(maxsize=2_000)
def _condition(text: str) -> Condition | None:
    """The condition of a trigger, compiled once per text."""
    where = json.loads(text)
    return compile_condition(where) if where not in (None, []) else None


def enroll_created(*, kind: SubjectType, ids: Sequence[int], team_id: int) -> EnrollResult:
    """Enroll new records of one team; an error never reaches the caller's transaction.

    The runs are written in a savepoint. When that fails, it is logged, stored as a decision, and
    tried again by the sweep. Records that a test run makes stay out.
    """
    if is_test():
        leave_out(kind=kind, ids=ids, team_id=team_id, why=MADE_BY_A_TEST)
        return EnrollResult()
    now = engine_now()
    try:
        if kind.record_type:
            return _enroll_thoroughly(kind, team_id, ids, now)
        entered = enter_shortly(subject_type_id=kind.content_type_id, team_id=team_id, ids=ids, now=now)
        return entered or _enroll_thoroughly(kind, team_id, ids, now)
    except Exception as error:  # whatever goes wrong here, saving the record must not
        if _cannot_commit():
            # The savepoint could not be rolled back, so the record itself is lost: say so instead of pretending.
            raise
        log.exception("automatic enrollment failed for %s records of %s", len(ids), kind.label)
        keep_failure(kind=kind, ids=ids, team_id=team_id, now=now, error=error)
        return EnrollResult()


def _enroll_thoroughly(kind: SubjectType, team_id: int, ids: Sequence[int], now: datetime) -> EnrollResult:
    """Ask every open way about every record."""
    subject_type_id = kind.content_type_id
    with transaction.atomic():
        entries = entries_for(subject_type_id=subject_type_id, team_ids=[team_id]).get(team_id, [])
        entries = [entry for entry in entries if entry.facts.subject_record == kind.record_type]
        if not kind.record_type:
            # All types of record share one table, so what is remembered by table would mix them up.
            remember_ways(subject_type_id=subject_type_id, team_id=team_id, entries=entries)
        if not entries:
            return EnrollResult()
        return enroll_batch(
            entries=entries,
            subject_type_id=subject_type_id,
            subject_ids=ids,
            occasion=Occasion(now, trusted=True),
        )


def _cannot_commit() -> bool:
    """True when the caller's transaction is broken, as after a lost connection."""
    return connection.in_atomic_block and connection.needs_rollback


def leave_out(*, kind: SubjectType, ids: Sequence[int], team_id: int, why: str = IMPORTED) -> None:
    """Note that these new records were kept out on purpose, so that the sweep leaves them alone and people see why."""
    decision = EnrollmentDecision.Decision.SUPPRESSED
    _note(kind, ids, team_id, engine_now(), decision, [{"error": why}], settled=True)


def keep_failure(
    *,
    kind: SubjectType,
    ids: Sequence[int],
    team_id: int,
    now: datetime,
    error: Exception,
    pipeline_ids: Collection[int] | None = None,
) -> bool:
    """Note an enrollment that failed, so that people see it and the sweep repeats it; False when that failed too."""
    why = [{"error": f"{type(error).__name__}: {error}"[:300]}]
    try:
        with transaction.atomic():
            decision = EnrollmentDecision.Decision.ERROR
            _note(kind, ids, team_id, now, decision, why, settled=False, pipeline_ids=pipeline_ids)
    except Exception:  # the database itself may be what failed; the sweep still finds the records
        log.exception("the failed enrollment could not be noted")
        return False
    return True


def _note(
    kind: SubjectType,
    ids: Sequence[int],
    team_id: int,
    now: datetime,
    decision: int,
    why: list[dict[str, str]],
    *,
    settled: bool,
    pipeline_ids: Collection[int] | None = None,
) -> None:
    """The same decision for every record at every open way in."""
    triggers = Trigger.objects.filter(
        model_id=kind.content_type_id,
        kind=Trigger.Kind.CREATED,
        automatic=True,
        enabled=True,
        pipeline__team_id=team_id,
        pipeline__status=Pipeline.Status.ACTIVE,
    )
    about = (
        {"pipeline_id__in": pipeline_ids}
        if pipeline_ids is not None
        else {"pipeline__subject_record": kind.record_type}
    )
    triggers = triggers.filter(**about)
    rows = [
        EnrollmentDecision(
            pipeline_id=pipeline_id,
            trigger_id=trigger_id,
            subject_type_id=kind.content_type_id,
            subject_id=pk,
            decision=decision,
            why=why,
            settled=settled,
            at=now,
        )
        for pipeline_id, trigger_id in triggers.values_list("pipeline_id", "pk")
        for pk in ids
    ]
    EnrollmentDecision.objects.bulk_create(rows, batch_size=1000)
