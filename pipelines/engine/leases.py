"""Leases of effects: begun work is marked, work never begun is given back."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from crm.models import Message
from pipelines.engine.clock import engine_now
from pipelines.engine.cursor import Cursor
from pipelines.engine.store import store
from pipelines.models import Effect
from pipelines.models.run import FINISHED
from pipelines.states import RunStatus

# How long after the time of a message its run looks whether an answer was lost.
WATCHED_FOR = timedelta(minutes=10)


def start_sending(effects: Sequence[Effect]) -> list[Effect]:
    """Mark effects as being handed over, in a transaction of their own."""
    with transaction.atomic():
        return mark_sending(effects)


def mark_sending(effects: Sequence[Effect]) -> list[Effect]:
    """The effects of ours that are still leased to us, now marked as being handed over."""
    mine = _held(effects, Effect.Status.LEASED, then=Effect.Status.SENDING)
    for effect in mine:
        effect.status = Effect.Status.SENDING
    return mine


def give_back(effects: Sequence[Effect], *, until: datetime) -> None:
    """Undo leases of work that was never begun: no attempt is burnt by somebody else's outage."""
    with transaction.atomic():
        requeue(_held(effects, Effect.Status.LEASED), until)


def give_back_unsent(effects: Sequence[Effect], *, until: datetime) -> None:
    """Undo the marks of messages that were about to be handed over and then were not."""
    if not effects:
        return
    with transaction.atomic():
        over = _over(effects)
        mine = _held(effects, Effect.Status.SENDING)
        requeue(mine, until)
        _unmark_messages(mine)
        _call_off([effect for effect in mine if effect.pk in over])


def keep_unsent(held: Sequence[tuple[Effect, datetime, str]]) -> None:
    """Put messages back that were about to be handed over, each with what keeps it; no attempt is burnt."""
    if not held:
        return
    with transaction.atomic():
        over = _over([effect for effect, _, _ in held])
        mine = {effect.pk for effect in _held([effect for effect, _, _ in held], Effect.Status.SENDING)}
        kept = [each for each in held if each[0].pk in mine]
        keep_waiting(kept)
        _unmark_messages([effect for effect, _, _ in kept])
        _call_off([effect for effect, _, _ in kept if effect.pk in over])
    watch_later([(effect, until) for effect, until, _ in kept])


def keep_waiting(held: Sequence[tuple[Effect, datetime, str]]) -> None:
    """Put marked messages back until their times, each with the rule that keeps it; no attempt is burnt."""
    if not held:
        return
    requeue([effect for effect, _, _ in held], held[0][1])
    store().update_rows(Effect, ("available_at",), [(effect.pk, (until,)) for effect, until, _ in held])
    rows = [(int(effect.payload["message"]), (until, rule[:200])) for effect, until, rule in held]
    store().update_rows(Message, ("held_until", "held_by"), rows)


def watch_later(held: Sequence[tuple[Effect, datetime]]) -> None:
    """Let runs whose messages wait be looked at after their times, not every ten minutes.

    In a transaction of its own, for everybody locks runs before effects.
    """
    if not held:
        return
    times = {(effect.run_id, effect.seq): until + WATCHED_FOR for effect, until in held}
    with transaction.atomic():
        cursors = store().claim_runs(run_ids=sorted({run_id for run_id, _ in times}))
        mine = [cursor for cursor in cursors if (cursor.id, cursor.seq) in times]
        mine = [cursor for cursor in mine if cursor.status == RunStatus.RUNNING]
        for cursor in mine:
            cursor.depart(watchdog=times[cursor.id, cursor.seq])
        if mine:
            store().move_runs(mine)


def _held(effects: Sequence[Effect], status: int, *, then: int | None = None) -> list[Effect]:
    """Those whose lease is still the one we took; locked until the transaction ends."""
    held = store().hold_effects({effect.pk: effect.attempt for effect in effects}, statuses=[status], then=then)
    return [effect for effect in effects if effect.pk in held]


def is_over(effect: Effect, cursor: Cursor) -> bool:
    """Whether its run was ended, so that it is not begun any more; what a person sends again has a higher number."""
    return cursor.status in FINISHED and effect.n == 0


def _over(effects: Sequence[Effect]) -> set[int]:
    """Effects of runs that were ended while they were handed over; locks the runs, as everybody does before effects."""
    cursors = {each.id: each for each in store().claim_runs(run_ids=sorted({effect.run_id for effect in effects}))}
    # A run may also have been erased.
    known = [(effect, cursors[effect.run_id]) for effect in effects if effect.run_id in cursors]
    return {effect.pk for effect, cursor in known if is_over(effect, cursor)}


def _call_off(effects: Sequence[Effect]) -> None:
    if not effects:
        return
    Effect.objects.filter(pk__in=[effect.pk for effect in effects]).update(
        status=Effect.Status.CANCELLED, finished_at=engine_now()
    )
    messages = [effect.payload["message"] for effect in effects]
    Message.objects.filter(pk__in=messages, state=Message.State.QUEUED).update(state=Message.State.CANCELLED)


def _unmark_messages(effects: Sequence[Effect]) -> None:
    messages = [effect.payload["message"] for effect in effects]
    Message.objects.filter(pk__in=messages, state=Message.State.SENDING).update(state=Message.State.QUEUED)


def requeue(effects: Sequence[Effect], until: datetime) -> None:
    """Put effects whose rows the caller has locked back into the queue; no attempt is burnt."""
    Effect.objects.filter(pk__in=[effect.pk for effect in effects]).update(
        status=Effect.Status.QUEUED, available_at=until, lease_until=None, worker=None, attempt=F("attempt") - 1
    )
