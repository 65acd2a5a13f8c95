"""One pass of the engine: rescue, sweep, lanes and effects, until nothing is due or time is up."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import close_old_connections, connection
from django.db.models import Q

from contacts.imports.running import work_imports
from crm.confirming import send_confirmations
from crm.outside import is_closed
from pipelines.alarms import NAME as ALARMS
from pipelines.alarms import watch
from pipelines.engine.advance import Progress, advance_lane
from pipelines.engine.clock import engine_now, pretend, real_now, set_test_clock
from pipelines.engine.deliver import LEASE_LIMIT, deliver
from pipelines.engine.dispatch import LIMIT, check_waits, dispatch
from pipelines.engine.expiry import NAME as EXPIRY
from pipelines.engine.expiry import expire
from pipelines.engine.firing import work_firing
from pipelines.engine.glance import Work, look, look_for_work, note_tick
from pipelines.engine.hold import is_held
from pipelines.engine.incoming import work_off
from pipelines.engine.outgoing.sending import send_due
from pipelines.engine.programs import BROKEN
from pipelines.engine.reminders import remind
from pipelines.engine.rescue import lane_sizes, rescue
from pipelines.engine.schedules import fire_due
from pipelines.engine.segments.refreshing import refresh_changed, refresh_whole
from pipelines.engine.silence import NAME as SILENCE
from pipelines.engine.silence import tell_of_silence
from pipelines.engine.store import store
from pipelines.engine.sweep import sweep
from pipelines.engine.trials import try_circuits
from pipelines.engine.triggering import enter_after_quiet
from pipelines.engine.upkeep import NAME as UPKEEP
from pipelines.engine.upkeep import keep_up
from pipelines.engine.workers import Presence, this_host
from pipelines.models import Pipeline, PipelineRun, PipelineStep

log = logging.getLogger(__name__)

# Alone, a lane has this many batches before effects have their turn; several lanes take turns batch by batch,
# so that a giant keeps nobody waiting.
BATCHES_OF_ONE_LANE = 10
# Then runs and messages have their turn, and the other events theirs after them.
EVENT_SECONDS = 5.0
ROUNDS_WITHOUT_END = 10_000
LEAST_POSTING_SECONDS = 5.0
# How long a pass works on a file of contacts, when everything else is done.
IMPORT_SECONDS = 15.0


@dataclass(slots=True)
class TickReport:
    """What a pass did; `more` says that time ran out with work left."""

    runs: int = 0
    visits: int = 0
    sent: int = 0
    failed: int = 0
    late_seconds: float = 0.0
    enrolled: int = 0
    more: bool = False
    # Whether webhooks have something to deliver, which is done when everything else is.
    posts: bool = False
    # Called once, when there is so much to do that another worker would help.
    call_help: Callable[[], None] | None = None

    def add(self, progress: Progress | None) -> None:
        if progress is not None:
            self.runs += progress.runs
            self.visits += progress.visits
            self.failed += progress.failed
            self.enrolled += progress.entered
            self.late_seconds = max(self.late_seconds, progress.late_seconds)

    def call(self) -> None:
        """Ask for help, once."""
        if self.call_help is not None:
            self.call_help()
            self.call_help = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "runs": self.runs,
            "visits": self.visits,
            "sent": self.sent,
            "failed": self.failed,
            "late_seconds": round(self.late_seconds, 3),
        }


def process_due_runs(*, budget_seconds: float | None = None, call_help: Callable[[], None] | None = None) -> TickReport:
    """Do everything that is due; safe beside any number of itself, on any number of machines.

    `call_help` is called once when there is a backlog: it may wake another worker.
    """
    if not connection.in_atomic_block:
        # After a restart of the database the next pass must not begin with a dead connection.
        close_old_connections()
    budget = settings.PIPELINES_TICK_SECONDS if budget_seconds is None else budget_seconds
    until = time.monotonic() + budget
    presence = Presence()
    report = TickReport(call_help=call_help)
    try:
        note_tick(now=real_now())
        glance = look(real_now=real_now(), now=engine_now(), host=this_host())
        if is_held(glance.states):
            return report
        keep_up(now=real_now(), last=glance.states.get(UPKEEP, (None, {}))[0])
        report.add(rescue(now=engine_now(), glance=glance))
        report.enrolled = sweep(now=engine_now(), glance=glance)
        if glance.delivered:
            report.enrolled += work_off(now=engine_now())
        expire(now=engine_now(), last=glance.states.get(EXPIRY, (None, {}))[0])
        watch(now=engine_now(), last=glance.states.get(ALARMS, (None, {}))[0])
        if glance.scheduled:
            fire_due(now=engine_now())
        if glance.silences:
            tell_of_silence(now=engine_now(), last=glance.states.get(SILENCE, (None, {}))[0])
        if glance.reminders:
            remind(now=engine_now())
        # What a simulation plays is one pipeline: the mail and the imports of the team wait for a real pass.
        if glance.confirmations and not is_closed():
            send_confirmations(now=engine_now())
        if glance.events:
            # What came before a deadline counts, however late this pass is: it is heard before deadlines are.
            _hand_out_events(report, engine_now(), until)
        _until_idle(report, presence, until)
        if report.posts:
            report.sent += send_due(now=engine_now(), until=max(until, time.monotonic() + LEAST_POSTING_SECONDS))
        if glance.imports and not is_closed() and work_imports(clock=real_now, seconds=IMPORT_SECONDS):
            report.more = True
    finally:
        presence.leave()
    return report


def run_until_idle(*, now: datetime) -> TickReport:
    """Set the test clock and work until nothing is due at that time."""
    set_test_clock(now)
    # Nobody need look at the clock while it stands still.
    with pretend(now):
        return _worked_off()


def _worked_off() -> TickReport:
    total = TickReport()
    while True:
        report = process_due_runs()
        for name in ("runs", "visits", "sent", "failed", "enrolled"):
            setattr(total, name, getattr(total, name) + getattr(report, name))
        total.late_seconds = max(total.late_seconds, report.late_seconds)
        if not report.more and not report.runs and not report.sent:
            return total


def _until_idle(report: TickReport, presence: Presence, until: float) -> None:
    for _ in range(ROUNDS_WITHOUT_END):
        now = engine_now()
        moved = _work_lanes(report, presence, now, until)
        work = look_for_work(now=now)
        report.posts = work.webhooks
        heard = _hand_out(report, work, now, until)
        if work.circuits:
            tried = try_circuits(now=now)
            report.add(tried.progress)
            heard = heard or tried.moved
        delivery = deliver(
            now=now, until=until, begin=lambda: presence.deliver(now=real_now()), kinds_waiting=work.kinds
        )
        if delivery.tried >= LEASE_LIMIT:
            report.call()
        report.sent += delivery.sent
        report.add(delivery.progress)
        if not moved and not delivery.tried and not heard:
            return
        if time.monotonic() >= until:
            report.more = True
            return


def _hand_out(report: TickReport, work: Work, now: datetime, until: float) -> bool:
    """Look at new waits, and hand out events; True when there were events or a run moved."""
    moved = False
    if work.waits:
        progress = check_waits(now=now)
        report.add(progress)
        moved = progress.runs > 0
    moved = _follow_segments(work, now, until) or moved
    if work.events:
        moved = _hand_out_events(report, now, until) or moved
    if work.quiet:
        entered = enter_after_quiet(now=now)
        report.enrolled += entered
        moved = moved or entered > 0
    while work.firings and time.monotonic() < until:
        fired = work_firing(now=now)
        report.enrolled += fired.entered
        moved = moved or fired.entered > 0
        if not fired.worked:
            break
    return moved


def _hand_out_events(report: TickReport, now: datetime, until: float) -> bool:
    """True when there were any; a flood of them takes turns with runs and messages."""
    heard = False
    until = min(until, time.monotonic() + EVENT_SECONDS)
    while True:
        count, progress = dispatch(now=now)
        report.add(progress)
        heard = heard or count > 0
        if count < LIMIT or time.monotonic() >= until:
            return heard


def _follow_segments(work: Work, now: datetime, until: float) -> bool:
    """Bring memberships up to date with the contacts; True when anybody entered or left."""
    moved = False
    for is_due, refresh in ((work.changed, refresh_changed), (work.looks, refresh_whole)):
        while is_due and time.monotonic() < until:
            done = refresh(now=now)
            moved = moved or done.entered + done.left > 0
            if not done.worked:
                break
    return moved


def _work_lanes(report: TickReport, presence: Presence, now: datetime, until: float) -> bool:
    """True when any run moved."""
    lanes = _open_lanes(store().due_lanes(now=now))
    if not lanes:
        return False
    sizes = lane_sizes(now=real_now())
    moved, turns = False, BATCHES_OF_ONE_LANE if len(lanes) == 1 else 1
    for step_id in lanes:
        limit = sizes.get(step_id, settings.PIPELINES_BATCH_SIZE)
        for _ in range(turns):
            _note(presence, step_id, limit, now)
            progress = advance_lane(step_id=step_id, now=now, limit=limit)
            report.add(progress)
            moved = moved or progress.runs > 0
            if progress.runs == settings.PIPELINES_BATCH_SIZE:
                report.call()
            if progress.runs < limit or time.monotonic() >= until:
                break
        if time.monotonic() >= until:
            break
    return moved


def _note(presence: Presence, step_id: int, limit: int, now: datetime) -> None:
    """Say where we are before we go in; alone with one run, say which run."""
    run_id = None
    if limit == 1:
        due = PipelineRun.objects.filter(step_id=step_id, next_step_at__lte=now).order_by("next_step_at")
        run_id = due.values_list("pk", flat=True).first()
    presence.enter(step_id=step_id, size=limit, run_id=run_id, now=real_now())


def _open_lanes(lanes: list[tuple[int, datetime]]) -> list[int]:
    """Lanes of pipelines that are not paused and of steps whose circuit is closed, oldest first."""
    if not lanes:
        return []
    shut = Q(pipeline__status=Pipeline.Status.PAUSED) | Q(circuit__state__in=BROKEN)
    kept = set(PipelineStep.objects.filter(shut, pk__in=[pk for pk, _ in lanes]).values_list("pk", flat=True))
    return [step_id for step_id, _ in lanes if step_id not in kept]
