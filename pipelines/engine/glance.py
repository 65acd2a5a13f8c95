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
# Stand for times and the host in a statement that was compiled before.
NOW: Final = object()
REALLY_NOW: Final = object()
HEARD_OF: Final = object()
HOST: Final = "(this host)"
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
    statement, given = _asked(connection.vendor)
    moments = {NOW: now, REALLY_NOW: real_now, HEARD_OF: real_now - DEAD_AFTER}
    values: dict[object, Any] = {name: connection.ops.adapt_datetimefield_value(at) for name, at in moments.items()}
    values[HOST] = host
    with connection.cursor() as cursor:
        cursor.execute(statement, [values.get(each, each) for each in given])
        found = cursor.fetchall()
    if not found:
        return Glance({}, **dict.fromkeys(ASKED, True), newest={})
    asked, ids = found[0][3 : 3 + len(ASKED)], found[0][3 + len(ASKED) :]
    return Glance(
        states={row[0]: (_read("at", row[1]), _read("data", row[2]) or {}) for row in found},
        **{name: bool(each) for name, each in zip(ASKED, asked, strict=True)},
        newest={label: pk for label, pk in zip(subject_types(), ids, strict=True) if pk is not None},
    )


@lru_cache
def _asked(vendor: str) -> tuple[str, tuple[Any, ...]]:
    """The statement of `look` and its parameters, with names of times and the host among them: compiled once."""
    now, really_now = datetime(2001, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC)
    newest = [
        Subquery(kind.model._default_manager.order_by("-pk").values("pk")[:1]) for kind in subject_types().values()
    ]
    heard_of = really_now - DEAD_AFTER
    # Notes of single steps, channels and pipelines, of which there may be many, are read by whom they concern.
    general = EngineState.objects.filter(~Q(name__contains=":") | Q(name__startswith="sweep:"))
    statement, given = general.values_list(
        "name",
        "at",
        "data",
        Exists(Effect.objects.filter(status__in=OPEN, lease_until__lt=really_now)),
        Exists(EnrollmentDecision.objects.filter(settled=False)),
        Exists(EngineWorker.objects.filter(Q(heartbeat_at__lt=heard_of) | Q(host=HOST))),
        Exists(HookDelivery.objects.filter(state=HookDelivery.State.RECEIVED)),
        Exists(HumanTask.objects.filter(status__in=[0, 1], remind_at__lte=now)),
        Exists(due_triggers(now)),
        Exists(Subscription.objects.filter(mail_at__lte=now)),
        Exists(watched()),
        Exists(imports_due(really_now)),
        Exists(Event.objects.filter(dispatched=False)),
        *newest,
    ).query.sql_with_params()
    return statement, _named(given, {now: NOW, really_now: REALLY_NOW, heard_of: HEARD_OF})


def _named(given: Sequence[Any], moments: Mapping[datetime, object]) -> tuple[Any, ...]:
    """Parameters of a statement with the names of these moments instead of them."""
    names = {connection.ops.adapt_datetimefield_value(moment): name for moment, name in moments.items()}
    return tuple(names.get(each, each) for each in given)


def _read(name: str, value: Any) -> Any:
    """A value of a column of the notes, as its field has it."""
    column: Any = EngineState._meta.get_field(name)
    for convert in (*connection.ops.get_db_converters(column.cached_col), *column.get_db_converters(connection)):
        value = convert(value, column.cached_col, connection)
    return value


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
    return statement, _named(given, {then: NOW})
