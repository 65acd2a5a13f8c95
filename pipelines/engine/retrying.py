"""Trying again what failed: one run, or every run that failed at a step with the same error."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.db import transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from pipelines.engine.clock import engine_now
from pipelines.engine.ending import ACTIVE, locked
from pipelines.engine.kick import kick
from pipelines.engine.redriving import begin_again
from pipelines.engine.rekeying import Holders, at_no_race, entered_again, reclaim_keys
from pipelines.models import Pipeline, PipelineRun, StepExecution
from pipelines.states import RunStatus
from pipelines.subjects import among

CHUNK = 1_000
MOST_FAILED: Final = 10_000


def retry_runs(*, run_ids: Sequence[int], by: Any = None) -> int:
    """Let failed runs try the step again at which they failed, as a new visit with a new key.

    A block that failed runs only those of its children again that failed or were cancelled, and goes on where it stood
    if none did, see `begin_again`. A child run can be retried alone as long as its block still waits; later its root
    is what can be retried. Whose record came in again since stays failed, see `entered_again`.
    """
    return len(at_no_race(partial(_retry, run_ids)))


def _retry(run_ids: Sequence[int]) -> list[int]:
    found = _retriable(run_ids)
    taken = reclaim_keys(found)
    ids = [pk for pk in found if pk not in taken]
    begin_again(ids, now=engine_now())
    transaction.on_commit(kick)
    return ids


@dataclass(frozen=True, slots=True)
class Failure:
    """Whole runs that failed at the same step with the same error, and when the last of them did."""

    step: str
    name: str
    action: str
    error: str
    runs: int
    last: datetime


def failures(*, pipeline: Pipeline) -> list[Failure]:
    """What whole runs failed at, inside their blocks where it was there; most first, of the newest 10,000; no tests."""
    newest = PipelineRun.objects.entered().filter(pipeline=pipeline, status=RunStatus.FAILED).order_by("-finished_at")
    roots = newest.values("pk")[:MOST_FAILED]
    inside = PipelineRun.objects.filter(
        parent_id=OuterRef("pk"), parent_seq=OuterRef("seq"), status=RunStatus.FAILED, last_step__isnull=False
    )
    rows = (
        PipelineRun.objects.filter(Q(pk__in=roots) | Q(root_id__in=roots), status=RunStatus.FAILED)
        .filter(~Exists(inside), last_step__isnull=False)
        .order_by()
        .annotate(said=_last_error())
        .values_list("last_step__key", "last_step__name", "last_step__action_type", "said")
        .annotate(runs=Count(Coalesce("root_id", "pk"), distinct=True), last=Max("finished_at"))
        .order_by("-runs", "last_step__key", "said")
    )
    return [Failure(key, name, action, error or "", runs, last) for key, name, action, error, runs, last in rows]


def failed_at(*, pipeline: Pipeline, step: str, error: str = "") -> QuerySet[PipelineRun]:
    """Root runs, no tests, that failed and where a visit of this step failed, last with this error if one is given."""
    failed = PipelineRun.objects.filter(status=RunStatus.FAILED, last_step__key=step)
    failed = failed.annotate(said=_last_error()).filter(**({"said": error} if error else {"said__isnull": False}))
    own = Q(Exists(failed.filter(pk=OuterRef("pk"))))
    inside = Q(Exists(failed.filter(root_id=OuterRef("pk"))))
    return PipelineRun.objects.entered().filter(own | inside, pipeline=pipeline, status=RunStatus.FAILED)


def _last_error() -> Subquery:
    """What the newest failed visit of a run said; a run may have failed at it before with another word."""
    visits = StepExecution.objects.filter(run_id=OuterRef("pk"), event=StepExecution.Event.FAILED).order_by("-id")
    return Subquery(visits.values(said=Coalesce("error", Value("")))[:1])


def retry_failed_at(*, pipeline: Pipeline, step: str, error: str = "", by: Any = None) -> int:
    """Retry all of them but those whose records came in again since, a thousand in a transaction; how many those are.

    Of several runs of one record that exclude each other the newest is retried.
    """
    return sum(retry_runs(run_ids=ids, by=by) for ids in _in_parts(pipeline, step, error))


def entered_again_at(*, pipeline: Pipeline, step: str, error: str = "") -> dict[int, int]:
    """Those of them that a retry leaves failed, for their records came in again since, with the run in their way."""
    found: dict[int, int] = {}
    holders: Holders = {}
    for ids in _in_parts(pipeline, step, error):
        found |= entered_again(ids, holders=holders)
    return found


def _in_parts(pipeline: Pipeline, step: str, error: str) -> Iterator[list[int]]:
    """A thousand at a time, the newest first."""
    rows = failed_at(pipeline=pipeline, step=step, error=error).order_by("-pk").values_list("pk", flat=True)
    ids = list(rows[:CHUNK])
    while ids:
        yield ids
        ids = list(rows.filter(pk__lt=ids[-1])[:CHUNK])


def _retriable(run_ids: Sequence[int]) -> list[int]:
    """Failed runs that may be tried again, locked; parents of children among them count these anew.

    The parents are locked first, as they are where blocks try again by themselves.
    """
    failed = PipelineRun.objects.filter(pk__in=among(run_ids), status=RunStatus.FAILED)
    parents = list(failed.exclude(parent=None).values_list("parent_id", flat=True))
    waiting = dict(locked(parents, ACTIVE).values_list("pk", "seq")) if parents else {}
    rows = locked(run_ids, [RunStatus.FAILED.value]).filter(last_step__isnull=False)
    found = list(rows.values_list("pk", "parent_id", "parent_seq"))
    children = [(pk, parent_id, seq) for pk, parent_id, seq in found if parent_id is not None]
    if not children:
        return [pk for pk, _, _ in found]
    open_again = [pk for pk, parent_id, seq in children if waiting.get(parent_id) == seq]
    for parent_id, count in (
        PipelineRun.objects.filter(pk__in=open_again).order_by().values_list("parent_id").annotate(Count("pk"))
    ):
        PipelineRun.objects.filter(pk=parent_id).update(open_children=F("open_children") + count)
    return [pk for pk, parent_id, _ in found if parent_id is None] + open_again
