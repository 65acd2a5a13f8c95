"""Tries after an error: when the next one is, and how a block comes back to what failed inside it."""

from datetime import timedelta
from random import Random

from pipelines.actions.base import Joined
from pipelines.definition.program import Step
from pipelines.definition.retries import retry_after
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Cursor
from pipelines.engine.journal import log_visit
from pipelines.engine.redriving import repeat_inside
from pipelines.engine.rejoining import rejoin
from pipelines.models import StepExecution
from pipelines.states import RunPhase

_ENTER, _REPEAT, _RESUME = RunPhase.ENTER.value, RunPhase.REPEAT.value, RunPhase.RESUME.value


def next_try(step: Step, cursor: Cursor, *, code: str) -> float | None:
    """Seconds until a visit is tried again after an error of this class; None where it is not."""
    rng = Random(f"{cursor.id}:{cursor.seq}:{cursor.attempt}")
    return retry_after(step.retry, error_class=code, attempt=cursor.attempt, rng=rng)


def block_waits(batch: Batch, step: Step, cursor: Cursor, failed: Joined) -> bool:
    """Let a block that failed wait for its next try, if its rule gives it one; what it left stays with its children."""
    wait = next_try(step, cursor, code=failed.code)
    if wait is None:
        return False
    log_visit(batch, step, cursor, event=StepExecution.Event.RETRIED, outcome=None, error=failed.error, why=failed.why)
    cursor.repeat(at=batch.now + timedelta(seconds=wait))
    return True


def repeat_blocks(batch: Batch) -> None:
    """Let blocks whose next try has come find what failed in them ready to begin again; few statements for a batch."""
    due = [cursor for cursor in batch.cursors if cursor.phase == _REPEAT and cursor.id not in batch.held]
    if not due:
        return
    versions = repeat_inside([cursor.id for cursor in due], now=batch.now)
    for cursor in due:
        version_id = versions[cursor.id]
        if version_id is None:
            # As a visit of its own: what is there now has nothing to do with the children of the old one.
            cursor.phase, cursor.attempt = _ENTER, 0
            cursor.seq += 1
            rejoin(batch, cursor)
        else:
            cursor.version_id, cursor.phase = version_id, _RESUME
