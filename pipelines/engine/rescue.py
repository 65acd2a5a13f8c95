"""Picks up what dead workers left: expired leases, abandoned lanes, runs that kill their worker."""

import logging
import os
import socket
from datetime import datetime, timedelta

from django.db import transaction

from pipelines.engine.advance import Progress, process_once
from pipelines.engine.clock import real_now
from pipelines.engine.glance import DEAD_AFTER, Glance
from pipelines.engine.settle import Crashed, settle
from pipelines.engine.store import store
from pipelines.models import Effect, EngineWorker, LaneStrike

log = logging.getLogger(__name__)

SIZES = (1000, 100, 10, 1)
MAX_STRIKES = 3
CLAIM_LIMIT = 500


def rescue(*, now: datetime, glance: Glance) -> Progress:
    """Return expired leases and note the lanes in which workers died, where a glance found any."""
    progress = settle_expired(now=now) if glance.expired else Progress()
    if glance.suspects:
        note_strikes(now=real_now())
    return progress


def settle_expired(*, now: datetime) -> Progress:
    """Effects whose lease is over: begun work becomes uncertain or is repeated, the rest is queued again."""
    open_statuses = [Effect.Status.LEASED, Effect.Status.SENDING]
    expired = Effect.objects.filter(status__in=open_statuses, lease_until__lt=real_now()).order_by("lease_until")
    effects = list(expired[:CLAIM_LIMIT])
    if effects:
        log.warning("leases expired: %s", len(effects))
    return settle([(effect, Crashed()) for effect in effects], now=now)


def note_strikes(*, now: datetime) -> None:
    """A worker that vanished inside a lane gives that lane a strike; its next batches are smaller."""
    gone = [worker for worker in EngineWorker.objects.all() if _is_gone(worker, now)]
    for worker in gone:
        with transaction.atomic():
            deleted, _ = EngineWorker.objects.filter(pk=worker.pk).delete()
            if deleted and worker.lane_step_id is not None:
                _strike(worker, now)


def _is_gone(worker: EngineWorker, now: datetime) -> bool:
    if worker.heartbeat_at < now - DEAD_AFTER:
        return True
    if worker.host != socket.gethostname() or worker.pid == os.getpid():
        return False
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _strike(worker: EngineWorker, now: datetime) -> None:
    step_id = worker.lane_step_id or 0
    lane, _ = LaneStrike.objects.get_or_create(step_id=step_id, defaults={"updated_at": now, "size": SIZES[0]})
    smaller = [size for size in SIZES if size < (worker.lane_size or SIZES[0])]
    lane.size = smaller[0] if smaller else SIZES[-1]
    if worker.lane_run_id is not None:
        lane.run_strikes = lane.run_strikes + 1 if lane.run_id == worker.lane_run_id else 1
        lane.run_id = worker.lane_run_id
    lane.strikes += 1
    lane.updated_at = now
    lane.save()
    log.warning("a worker died in the lane of step %s; the next batch is %s", step_id, lane.size)
    if lane.run_id is not None and lane.run_strikes >= MAX_STRIKES:
        quarantine(run_id=lane.run_id, now=now)
        lane.run_id, lane.run_strikes = None, 0
        lane.save()


def quarantine(*, run_id: int, now: datetime) -> None:
    """Set a run aside that keeps killing its worker; an operator may retry it."""
    with transaction.atomic():
        cursors = store().claim_runs(run_ids=[run_id])
        live = [cursor for cursor in cursors if cursor.status < 4]
        if live:
            sentence = "Set aside: this run stopped its worker three times."
            process_once(live, now=now, answers=None, errors={run_id: sentence}, final=True)
    log.error("run %s was set aside: it stopped its worker %s times", run_id, MAX_STRIKES)


def lane_sizes(*, now: datetime) -> dict[int, int]:
    """Batch sizes of lanes under suspicion; an hour without a strike lifts it."""
    recent = LaneStrike.objects.filter(updated_at__gte=now - timedelta(hours=1))
    return dict(recent.values_list("step_id", "size"))
