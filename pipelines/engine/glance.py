"""What a pass must know before it does anything, in one statement, so that an idle pass costs next to nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from django.db import connection
from django.db.models import Exists, Q, Subquery

from contacts.imports.running import imports_due
from crm.models import Subscription
from pipelines.engine.circuits import due_circuits
from pipelines.engine.outgoing.sending import due_webhooks
from pipelines.engine.schedules import due_triggers
from pipelines.engine.segments.refreshing import changes_waiting, looks_due
from pipelines.engine.silence import watched
from pipelines.models import (
    Effect,
    EngineState,
    EngineWorker,
    EnrollmentDecision,
    Event,
    EventWait,
    Firing,
    HookDelivery,
    HumanTask,
    Quiet,
)
from pipelines.subjects import subject_types

TICK: Final = "tick"
DEAD_AFTER: Final = timedelta(minutes=3)
# Stands for the time in a statement that was compiled before.
NOW: Final = object()
OPEN: Final = (Effect.Status.LEASED.value, Effect.Status.SENDING.value)


# What is asked for, in the order of the columns.
ASKED: Final = (
    "expired", "undecided", "suspects", "delivered", "reminders", "scheduled", "confirmations", "silences", "imports",
    "events",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Glance:
    """The engine's notes by name, and whether there is anything to rescue or to sweep.

    `newest` is the largest id by model; models without records are missing.
    """

    states: Mapping[str, tuple[datetime | None, dict[str, Any]]]
    expired: bool
    undecided: bool
    suspects: bool
    delivered: bool
    reminders: bool
    scheduled: bool
    confirmations: bool
    silences: bool
    imports: bool
    events: bool
    newest: Mapping[str, int]


def note_tick(*, now: datetime) -> None:
    """Leave the sign of life that the supervisor and the doctor look for."""
    if not EngineState.objects.filter(name=TICK).update(at=now):
        EngineState.objects.bulk_create([EngineState(name=TICK, at=now)], ignore_conflicts=True)


def look(*, real_now: datetime, now: datetime, host: str) -> Glance:
    """One statement; call `note_tick` before, for it is carried by the rows of the notes."""
    labels = list(subject_types())
    newest = [
        Subquery(kind.model._default_manager.order_by("-pk").values("pk")[:1]) for kind in subject_types().values()
    ]
    rows = EngineState.objects.values_list(
        "name",
        "at",
        "data",
        Exists(Effect.objects.filter(status__in=OPEN, lease_until__lt=real_now)),
        Exists(EnrollmentDecision.objects.filter(settled=False)),
        Exists(EngineWorker.objects.filter(Q(heartbeat_at__lt=real_now - DEAD_AFTER) | Q(host=host))),
        Exists(HookDelivery.objects.filter(state=HookDelivery.State.RECEIVED)),
        Exists(HumanTask.objects.filter(status__in=[0, 1], remind_at__lte=now)),
        Exists(due_triggers(now)),
        Exists(Subscription.objects.filter(mail_at__lte=now)),
        Exists(watched()),
        Exists(imports_due(real_now)),
        Exists(Event.objects.filter(dispatched=False)),
        *newest,
    )
    found = list(rows)
    if not found:
        return Glance({}, **dict.fromkeys(ASKED, True), newest={})
    asked, ids = found[0][3 : 3 + len(ASKED)], found[0][3 + len(ASKED) :]
    return Glance(
        states={row[0]: (row[1], row[2] or {}) for row in found},
        **dict(zip(ASKED, asked, strict=True)),
        newest={label: pk for label, pk in zip(labels, ids, strict=True) if pk is not None},
    )


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do beside the lanes: kinds of effects to deliver, events to hand out, waits to look at,
    events that wait for quiet and have it, schedules whose records are not all in, contacts that changed where
    segments have rules, segments for which all contacts are to be looked at, deliveries of webhooks, and circuits whose
    pause is over.
    """

    kinds: Sequence[int]
    events: bool = True
    waits: bool = True
    quiet: bool = True
    firings: bool = True
    changed: bool = True
    looks: bool = True
    webhooks: bool = True
    circuits: bool = True


def look_for_work(*, now: datetime) -> Work:
    """One statement."""
    statement, given = _question(connection.vendor)
    moment = connection.ops.adapt_datetimefield_value(now)
    with connection.cursor() as cursor:
        cursor.execute(statement, [moment if each is NOW else each for each in given])
        row = cursor.fetchone()
    kinds = [kind.value for kind in Effect.Kind]
    # Without the note of a tick, as in a test that calls us alone, everything is worth a look.
    if row is None:
        return Work(kinds)
    found = [bool(each) for each in row]
    some, others = found[: len(kinds)], found[len(kinds) :]
    return Work([kind for kind, is_some in zip(kinds, some, strict=True) if is_some], *others)


@lru_cache
def _question(vendor: str) -> tuple[str, tuple[Any, ...]]:
    """The statement and its parameters, `NOW` among them: to compile it takes longer than any database to answer it."""
    then = datetime(2000, 1, 1, tzinfo=UTC)
    queued = [
        Effect.objects.filter(kind=kind.value, status=Effect.Status.QUEUED, available_at__lte=then)
        for kind in Effect.Kind
    ]
    statement, given = (
        EngineState.objects.filter(name=TICK)
        .values_list(
            *(Exists(each) for each in queued),
            Exists(Event.objects.filter(dispatched=False)),
            Exists(EventWait.objects.filter(status=EventWait.Status.OPEN, checked=False)),
            Exists(Quiet.objects.filter(due_at__lte=then)),
            Exists(Firing.objects.filter(state=Firing.State.OPEN)),
            Exists(changes_waiting()),
            Exists(looks_due(then)),
            Exists(due_webhooks(then)),
            Exists(due_circuits(then)),
        )
        .query.sql_with_params()
    )
    adapted = connection.ops.adapt_datetimefield_value(then)
    return statement, tuple(NOW if each == adapted else each for each in given)
