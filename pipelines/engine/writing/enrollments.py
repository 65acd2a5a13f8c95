"""Records that steps put into other pipelines or take out of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.actions.base import Enroll, Unenroll
from pipelines.definition.variables import undeclared
from pipelines.engine.batch import Batch
from pipelines.engine.cause import caused_by
from pipelines.engine.controls import cancel_runs
from pipelines.engine.cursor import Cursor
from pipelines.engine.ending import LIVE
from pipelines.engine.enroll import NotEnrollable, enroll
from pipelines.engine.journal import visit_of
from pipelines.engine.writing.records import ForeignRecord, check_records
from pipelines.models import Pipeline, PipelineRun, StepExecution
from pipelines.subjects import subject_named

Named = dict[tuple[int, str], Pipeline]
# A run, the step that said so with the number of its visit, and what it said.
Entering = tuple[Cursor, tuple[int, int], Enroll]


def write_enrollments(batch: Batch) -> None:
    """The pipelines are read once; those who enter one together are enrolled together."""
    if not batch.enrollments:
        return
    wanted = {(_team(batch, cursor), change.pipeline) for cursor, _, change in batch.enrollments}
    rows = Pipeline.objects.filter(team_id__in={team for team, _ in wanted}, key__in={key for _, key in wanted})
    known: Named = {(row.team_id, row.key): row for row in rows}
    _check(batch)
    entering: dict[tuple[int, str, str], list[Entering]] = {}
    leaving: dict[tuple[int, str], list[tuple[Cursor, Unenroll]]] = {}
    for cursor, visit, change in batch.enrollments:
        team = _team(batch, cursor)
        if isinstance(change, Enroll):
            entering.setdefault((team, change.pipeline, repr(change.variables)), []).append((cursor, visit, change))
        else:
            leaving.setdefault((team, change.pipeline), []).append((cursor, change))
    for (team, key, _), several in entering.items():
        _enter(batch, _found(known, team, key), several)
    for (team, key), leavers in leaving.items():
        _leave(batch, _found(known, team, key), leavers)


def _team(batch: Batch, cursor: Cursor) -> int:
    return batch.facts[cursor.pipeline_id].team.id


def _check(batch: Batch) -> None:
    check_records(
        batch,
        {
            ((change.model, change.pk), _team(batch, cursor))
            for cursor, _, change in batch.enrollments
            if change.model is not None and change.pk is not None
        },
    )


def _found(known: Mapping[tuple[int, str], Pipeline], team: int, key: str) -> Pipeline:
    if (team, key) not in known:
        raise ForeignRecord(f"There is no pipeline {key!r} in this team.")
    return known[team, key]


def _enter(batch: Batch, pipeline: Pipeline, several: Sequence[Entering]) -> None:
    """Those already in it stay where they are; each group counts as deep as its deepest run."""
    *_, first = several[0]
    kind = subject_named(first.model) if first.model else None
    about = (kind.content_type_id, kind.record_type) if kind is not None else (None, "")
    if about != (pipeline.subject_type_id, pipeline.subject_record):
        raise ForeignRecord(f"{pipeline.name} is about other records.")
    # The same subject may come from several runs of a batch; it enters once.
    subjects = list(dict.fromkeys(change.pk for *_, change in several))
    keys = "+".join(f"{cursor.id}:{cursor.seq}" for cursor, *_ in several)
    with caused_by(max(cursor.depth for cursor, *_ in several)):
        try:
            # A step ends nobody's run, which might be the one it belongs to.
            enroll(
                pipeline=pipeline, subject_ids=subjects, variables=_declared(batch, pipeline, several),
                idempotency_key=keys[:500], restarts=False, test=batch.test,
            )  # fmt: skip
        except NotEnrollable as error:
            raise ForeignRecord(str(error)) from error


def _declared(batch: Batch, pipeline: Pipeline, several: Sequence[Entering]) -> dict[str, Any]:
    """The values that the pipeline has variables for.

    Nothing there reads the others, so nobody is kept out because of them; the log of the step says that they were
    left out.
    """
    given, version_id = several[0][-1].variables, pipeline.current_version_id
    if not given or version_id is None:
        return dict(given)
    types = batch.store.programs({version_id})[version_id].program.types
    for name, sentence in undeclared(given, types, owner=f"'{pipeline.key}'").items():
        told = f"with.variables.{name}: {sentence}; it was left out"
        for cursor, (step_id, seq), _ in several:
            note = visit_of(cursor, batch.now, StepExecution.Event.NOTE, None, error=told, step_id=step_id, seq=seq)
            batch.visits.append(note)
    return {name: value for name, value in given.items() if name in types}


def _leave(batch: Batch, pipeline: Pipeline, leavers: Sequence[tuple[Cursor, Unenroll]]) -> None:
    mine = {cursor.id for cursor in batch.cursors}
    kind = pipeline.subject_type_id
    runs = PipelineRun.objects.filter(
        pipeline=pipeline, subject_type_id=kind, subject_id__in={change.pk for _, change in leavers}, status__in=LIVE
    )
    if batch.test:
        # A test takes nobody out for real.
        runs = runs.filter(test=True)
    ids = [pk for pk in runs.order_by("pk").values_list("pk", flat=True) if pk not in mine]
    if ids:
        cancel_runs(run_ids=ids, reason="unenrolled")
