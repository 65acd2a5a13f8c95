"""Moves runs: a batch is claimed, goes through as many due steps as it can, and is written once."""

import gc
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from django.db import InterfaceError, OperationalError, transaction

from crm.faults import point, register
from pipelines.engine.batch import Batch
from pipelines.engine.cause import as_test
from pipelines.engine.circuits import judge
from pipelines.engine.cursor import Answer, Cursor
from pipelines.engine.deadlines import is_block, out_of_turn
from pipelines.engine.rejoining import is_between, keep_undated, rejoin
from pipelines.engine.starting import pace_starts
from pipelines.engine.step import WATCHDOG, run_step
from pipelines.engine.store import PortableStore, store
from pipelines.engine.troubles import Trouble, Troubles, troubles_of
from pipelines.engine.trying_again import repeat_blocks
from pipelines.engine.unheard import commit_unheard
from pipelines.engine.writing import ForeignRecord, flush
from pipelines.states import RunPhase, RunStatus

log = logging.getLogger(__name__)

MAX_HOPS = 32
COHORT_SECONDS = 1.0
# What is no run's fault: the connection, a lock, the disk. The pass ends, and the next one tries again.
LOST = (OperationalError, InterfaceError)
# Asked of every run at every hop, and members of an enumeration are slow to reach.
_PENDING, _ENTER, _RESUME = RunStatus.PENDING.value, RunPhase.ENTER.value, RunPhase.RESUME.value
_INSIDE = (RunStatus.RUNNING.value, RunStatus.WAITING.value)

register("after_claim", "a batch of runs is locked, nothing was planned yet", in_transaction=True)
register("before_commit", "everything of a batch is written, nothing is committed", in_transaction=True)
register("after_commit", "a batch is committed")


@dataclass(slots=True)
class Progress:
    """What one batch did."""

    runs: int = 0
    visits: int = 0
    failed: int = 0
    late_seconds: float = 0.0
    entered: int = 0
    troubles: Troubles = field(default_factory=dict)

    def add(self, other: "Progress") -> None:
        self.runs += other.runs
        self.visits += other.visits
        self.failed += other.failed
        self.entered += other.entered
        self.late_seconds = max(self.late_seconds, other.late_seconds)
        for step_id, trouble in other.troubles.items():
            self.troubles.setdefault(step_id, Trouble()).add(trouble)


def advance_lane(*, step_id: int, now: datetime, limit: int, trial: bool = False) -> Progress:
    """Move up to `limit` due runs of one step, in one transaction; on `trial` into a step whose circuit is open.

    A row that the database refuses costs the whole attempt; the second finds the culprit by halves.
    """
    into = step_id if trial else None
    try:
        progress = _advance(partial(process_whole, trial=into), step_id=step_id, now=now, limit=limit, trial=trial)
    except LOST:
        raise
    except Exception:
        log.warning("a run was refused in the lane of step %s: its batch is split", step_id, exc_info=True)
        progress = _advance(partial(process, trial=into), step_id=step_id, now=now, limit=limit, trial=trial)
    judge(progress.troubles, now=now)
    return progress


def _advance(work: Callable[..., Progress], *, step_id: int, now: datetime, limit: int, trial: bool) -> Progress:
    with _undisturbed(), transaction.atomic():
        cursors = store().claim_lane(step_id=step_id, now=now, limit=limit, trial=trial)
        if not cursors:
            return Progress()
        point("after_claim")
        oldest = min((cursor.next_step_at for cursor in cursors if cursor.next_step_at), default=now)
        progress = work(cursors, now=now)
        progress.late_seconds = max(0.0, (now - oldest).total_seconds())
        point("before_commit", then=commit_unheard)
    point("after_commit")
    return progress


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A batch makes many objects and no garbage worth looking for; what circles there are goes afterwards."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def process_whole(cursors: Sequence[Cursor], *, now: datetime, trial: int | None = None) -> Progress:
    """Move locked runs inside the caller's transaction, all or none."""
    return process_once(list(cursors), now=now, answers=None, trial=trial)


def process(
    cursors: Sequence[Cursor], *, now: datetime, answers: Mapping[int, Answer] | None = None,
    trial: int | None = None, depth: int = 0,
) -> Progress:  # fmt: skip
    """Move locked runs inside the caller's transaction; a row the database refuses fails alone."""
    try:
        with transaction.atomic():
            return process_once([cursor.copy() for cursor in cursors], now=now, answers=answers, trial=trial)
    except LOST:
        raise
    except Exception as error:  # whatever one run brings about, the others and the other teams go on
        if len(cursors) == 1:
            return _alone(cursors[0], now=now, answers=answers, trial=trial, error=error)
        log.warning("batch split after a refused run: %s runs", len(cursors))
    middle = len(cursors) // 2
    progress = process(cursors[:middle], now=now, answers=answers, trial=trial, depth=depth + 1)
    progress.add(process(cursors[middle:], now=now, answers=answers, trial=trial, depth=depth + 1))
    return progress


def process_once(
    cursors: list[Cursor],
    *,
    now: datetime,
    answers: Mapping[int, Answer] | None,
    errors: Mapping[int, str] | None = None,
    at: PortableStore | None = None,
    trial: int | None = None,
    hops: int = MAX_HOPS,
    final: bool = False,
) -> Progress:
    """Move runs once, in the store `at` or that of the default database; tests apart from the others."""
    tests = [cursor for cursor in cursors if cursor.test]
    progress = Progress()
    for test, some in ((False, [each for each in cursors if not each.test] if tests else cursors), (True, tests)):
        if some:
            batch = Batch(
                store=at or store(), now=now, cursors=some, answers=dict(answers or {}), errors=dict(errors or {}),
                trial=trial, test=test, final=final,
            )  # fmt: skip
            with as_test() if test else nullcontext():
                progress.add(_process_alike(batch, hops))
    return progress


def _process_alike(batch: Batch, hops: int) -> Progress:
    cursors = batch.cursors
    batch.load()
    returning = [cursor for cursor in cursors if _needs_answer(batch, cursor)]
    if returning:
        batch.answers.update(batch.store.answers(returning))
    pace_starts(batch)
    still = out_of_turn(batch)
    batch.held |= still
    repeat_blocks(batch)
    _walk(batch, hops)
    keep_undated(batch)
    flush(batch)
    failed = sum(1 for cursor in cursors if cursor.status == RunStatus.FAILED)
    return Progress(
        runs=len(cursors) - len(still), visits=len(batch.visits), failed=failed, troubles=troubles_of(batch)
    )


def _needs_answer(batch: Batch, cursor: Cursor) -> bool:
    """Whether something came back that nobody handed in; blocks look at their children instead."""
    if not _comes_back(cursor) or cursor.id in batch.answers:
        return False
    return not is_block(batch, cursor)


def _comes_back(cursor: Cursor) -> bool:
    return cursor.status in _INSIDE or cursor.phase == _RESUME


def _alone(
    cursor: Cursor, *, now: datetime, answers: Mapping[int, Answer] | None, trial: int | None, error: Exception
) -> Progress:
    """The one run that cannot be written goes a single step, so that only the step that was refused is told of it."""
    try:
        with transaction.atomic():
            return process_once([cursor.copy()], now=now, answers=answers, trial=trial, hops=1)
    except LOST:
        raise
    except Exception:
        return _fail_alone(cursor, now=now, error=error)


def _fail_alone(cursor: Cursor, *, now: datetime, error: Exception) -> Progress:
    """The one row that cannot be written takes its error edge instead."""
    log.warning("run %s was refused by the database: %s", cursor.id, type(error).__name__)
    with transaction.atomic():
        told = str(error) if isinstance(error, ForeignRecord) else f"{type(error).__name__}."
        sentence = f"The database refused this step: {told}"
        # Only this step: what its error path writes may be refused, too, and is told of there at the next pass.
        return process_once([cursor.copy()], now=now, answers=None, errors={cursor.id: sentence}, hops=1)


def _walk(batch: Batch, hops: int) -> None:
    """Go on in memory while steps are due at once, at most so many hops and about a second."""
    started = time.monotonic()
    waiting = [cursor for cursor in batch.cursors if cursor.id not in batch.held and not _holds_still(batch, cursor)]
    for hop in range(hops):
        groups = _groups(batch, waiting, first=hop == 0)
        if not groups:
            return
        for (version_id, step_id, resuming), cursors in groups.items():
            step = batch.programs[version_id].program.by_id.get(step_id)
            if step is None:
                for cursor in cursors:
                    cursor.finish(status=RunStatus.COMPLETED, reason="step_removed", outcome=None, now=batch.now)
                continue
            run_step(batch, step, cursors, resuming=resuming)
            if resuming:
                for cursor in cursors:
                    # What came back belongs to that visit; the next one begins now and has nothing to read.
                    batch.answers.pop(cursor.id, None)
                    rejoin(batch, cursor)
        waiting = [cursor for cursor in waiting if _goes_on(batch, cursor) and cursor.id not in batch.held]
        if time.monotonic() - started > COHORT_SECONDS:
            return


def _holds_still(batch: Batch, cursor: Cursor) -> bool:
    """A new version ended the run or put its time off between its claim and its step."""
    if cursor.finished_at is not None or cursor.id in batch.errors:
        return cursor.finished_at is not None
    return is_between(cursor) and not _goes_on(batch, cursor)


def _goes_on(batch: Batch, cursor: Cursor) -> bool:
    due = cursor.next_step_at
    if due is None or cursor.status != _PENDING or cursor.phase != _ENTER:
        return False
    if batch.broken and cursor.step_id in batch.broken and cursor.step_id != batch.trial:
        return False
    return due <= batch.now


def _groups(batch: Batch, cursors: Sequence[Cursor], *, first: bool) -> dict[tuple[int, int, bool], list[Cursor]]:
    """Runs by version, step and direction; those whose effect is still in flight are left waiting."""
    groups: dict[tuple[int, int, bool], list[Cursor]] = {}
    for cursor in cursors:
        if cursor.step_id is None:
            continue
        resuming = first and _comes_back(cursor)
        if resuming and cursor.id in batch.answers and batch.answers[cursor.id].signal.status == "in_flight":
            cursor.depart(watchdog=batch.now + WATCHDOG)
            continue
        groups.setdefault((cursor.version_id, cursor.step_id, resuming), []).append(cursor)
    return groups
