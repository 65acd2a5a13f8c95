"""Tasks that nobody needs to answer any more, because their run ended or went on without an answer."""

from collections.abc import Collection
from datetime import datetime

from crm.models import Task
from pipelines.models import HumanTask
from pipelines.models.human import OPEN
from pipelines.subjects import among


def close_tasks(
    *, now: datetime, run_ids: Collection[int] | None = None, visits: Collection[tuple[int, int]] | None = None
) -> int:
    """Take back what is still open: of runs that ended (cancelled), or of visits that are over (expired)."""
    ids = list(run_ids) if run_ids is not None else [run_id for run_id, _ in visits or ()]
    rows = HumanTask.objects.filter(run_id__in=among(ids), status__in=OPEN).values_list(
        "pk", "task_id", "run_id", "seq"
    )
    wanted = None if visits is None else set(visits)
    found = [(pk, task) for pk, task, run_id, seq in rows if wanted is None or (run_id, seq) in wanted]
    if not found:
        return 0
    status = HumanTask.Status.CANCELLED if visits is None else HumanTask.Status.EXPIRED
    # Run, task, form: every path locks in this order.
    Task.objects.filter(pk__in=[task for _, task in found], status=Task.Status.OPEN).update(
        status=Task.Status.CANCELLED
    )
    still = HumanTask.objects.filter(pk__in=[pk for pk, _ in found], status__in=OPEN)
    return still.update(status=status, finished_at=now, remind_at=None)
