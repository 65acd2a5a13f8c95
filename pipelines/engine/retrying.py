"""Trying again what failed: one run, or every run that failed at a step with the same error."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.db import transaction
from django.db.models import Case, Count, Exists, F, Max, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from pipelines.engine.clock import engine_now
from pipelines.engine.ending import ACTIVE, locked, with_descendants
from pipelines.engine.kick import kick
from pipelines.engine.rekeying import Holders, at_no_race, entered_again, reclaim_keys
from pipelines.models import Pipeline, PipelineRun, StepExecution
from pipelines.states import RunPhase, RunStatus
from pipelines.subjects import among

CHUNK = 1_000
MOST_FAILED: Final = 10_000
_AGAIN = (RunStatus.FAILED.value, RunStatus.CANCELLED.value)


def retry_runs(*, run_ids: Sequence[int], by: Any = None) -> int:
    """Let failed runs try the step again at which they failed, as a new visit with a new key.

    A block that failed runs only those of its children again that failed or were cancelled. A child run can be
    retried alone as long as its block still waits; later its root is what can be retried. Whose record came in again
    since stays failed, see `entered_again`.
    """
    return len(at_no_race(partial(_retry, run_ids)))


def _retry(run_ids: Sequence[int]) -> list[int]:
    found = _retriable(run_ids)
    taken = reclaim_keys(found)
    ids = [pk for pk in found if pk not in taken]
    _again(ids)
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
    """What whole runs failed at, inside their blocks where it was there; most first, of the newest 10,000."""
    newest = PipelineRun.objects.filter(pipeline=pipeline, parent=None, status=RunStatus.FAILED).order_by(
        "-finished_at"
    )
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
    """Root runs that failed and where a visit of this step failed, last with this error if one is given."""
    failed = PipelineRun.objects.filter(status=RunStatus.FAILED, last_step__key=step)
    failed = failed.annotate(said=_last_error()).filter(**({"said": error} if error else {"said__isnull": False}))
    own = Q(Exists(failed.filter(pk=OuterRef("pk"))))
    inside = Q(Exists(failed.filter(root_id=OuterRef("pk"))))
    return PipelineRun.objects.filter(own | inside, pipeline=pipeline, status=RunStatus.FAILED, parent__isnull=True)


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
    """Failed runs that may be tried again, locked; parents of children among them count these anew."""
    rows = locked(with_descendants(run_ids), [RunStatus.FAILED.value]).filter(
        pk__in=among(run_ids), last_step__isnull=False
    )
    found = list(rows.values_list("pk", "parent_id", "parent_seq"))
    children = [(pk, parent_id, seq) for pk, parent_id, seq in found if parent_id is not None]
    if not children:
        return [pk for pk, _, _ in found]
    waiting = dict(locked([parent_id for _, parent_id, _ in children], ACTIVE).values_list("pk", "seq"))
    open_again = [pk for pk, parent_id, seq in children if waiting.get(parent_id) == seq]
    for parent_id, count in (
        PipelineRun.objects.filter(pk__in=open_again).order_by().values_list("parent_id").annotate(Count("pk"))
    ):
        PipelineRun.objects.filter(pk=parent_id).update(open_children=F("open_children") + count)
    return [pk for pk, parent_id, _ in found if parent_id is None] + open_again


def _again(run_ids: Sequence[int]) -> None:
    """Level by level: blocks wait for their broken children again, everything else enters its step anew."""
    now = engine_now()
    level = list(run_ids)
    while level:
        broken = list(
            PipelineRun.objects.filter(
                parent_id__in=among(level), parent_seq=F("parent__seq"), status__in=_AGAIN
            ).values_list("pk", "parent_id")
        )
        blocks = {parent_id for _, parent_id in broken}
        common = {"attempt": 0, "finished_at": None, "outcome": None, "reason": None, "held_until": None}
        if blocks:
            _open_blocks(blocks, common)
        PipelineRun.objects.filter(pk__in=among([pk for pk in level if pk not in blocks])).update(
            **common,
            status=RunStatus.PENDING.value,
            phase=RunPhase.ENTER.value,
            step_id=F("last_step_id"),
            next_step_at=Case(
                When(status=RunStatus.CANCELLED, held_until__gt=now, then=F("held_until")), default=Value(now)
            ),
            open_children=0,
            seq=F("seq") + 1,
        )
        level = [pk for pk, _ in broken]


def _open_blocks(blocks: set[int], common: dict[str, Any]) -> None:
    """The children of a block belong to its new visit; branches that were never reached are decided again."""
    children = PipelineRun.objects.filter(parent_id__in=among(blocks), parent_seq=F("parent__seq"))
    children.filter(reason="not_reached").delete()
    counts = dict(children.filter(status__in=_AGAIN).order_by().values_list("parent_id").annotate(Count("pk")))
    PipelineRun.objects.filter(pk__in=among(list(children.values_list("pk", flat=True)))).update(
        parent_seq=F("parent_seq") + 1
    )
    for count in set(counts.values()):
        PipelineRun.objects.filter(pk__in=among([pk for pk, n in counts.items() if n == count])).update(
            **common,
            status=RunStatus.WAITING.value,
            phase=RunPhase.WAIT.value,
            step_id=F("last_step_id"),
            next_step_at=None,
            open_children=count,
            wake_at=count - 1,
            seq=F("seq") + 1,
        )
