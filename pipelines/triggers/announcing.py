"""What other apps tell becomes events: records that change, addresses that are suppressed."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Model
from django.db.models.signals import post_save

from contacts import hooks
from contacts.models import Contact
from contacts.queries import with_email
from crm.happenings import SOFT
from crm.models import Message, MessageEvent, OptIn, Suppression, Task, Team
from crm.signals import addresses_suppressed, mail_waits, message_happened, topic_subscribed
from crm.tracking.judging import DOUBTFUL
from pipelines.engine.changes import announce, changes_of
from pipelines.engine.events import Fact, publish_all
from pipelines.engine.kick import kick
from pipelines.engine.listening import anybody_listens
from pipelines.engine.outgoing import hearing
from pipelines.engine.plain import plain
from pipelines.engine.ways import DELETED
from pipelines.models import Pipeline, PipelineRun, Trigger
from pipelines.subjects import HIDDEN, SubjectType, subject_types

log = logging.getLogger(__name__)

# Where a record keeps what it was before it is saved, and what no change is told of.
BEFORE = "_pipelines_before"
TASK_COMPLETED = "task_completed"
UNTOLD = HIDDEN | {"id", "created_at", "updated_at"}
EVENTS = {
    Suppression.Reason.UNSUBSCRIBED.value: "unsubscribed",
    Suppression.Reason.BOUNCED.value: "email_bounced",
    Suppression.Reason.COMPLAINED.value: "email_complained",
}


def connect() -> None:
    """Listen; called once when the apps are ready."""
    hooks.after_bulk_update.register(tell_of_changes)
    post_save.connect(tell_of_task, sender=Task, dispatch_uid="pipelines:task-completed")
    message_happened.connect(on_message, dispatch_uid="pipelines:message-happened")
    addresses_suppressed.connect(on_suppressed, dispatch_uid="pipelines:addresses-suppressed")
    topic_subscribed.connect(on_subscribed, dispatch_uid="pipelines:topic-subscribed")
    mail_waits.connect(on_mail, dispatch_uid="pipelines:mail-waits")


def look_before_change(*, kind: SubjectType, instance: Any, fields: Collection[str] | None) -> None:
    """Remember a record as it is before it is saved again, if somebody listens to changes of records of its team."""
    instance.__dict__.pop(BEFORE, None)
    try:
        with transaction.atomic():
            if anybody_listens(team_id=instance.team_id):
                names = _compared(kind, fields)
                row = kind.model._default_manager.filter(pk=instance.pk).values(*names).first()
                instance.__dict__[BEFORE] = row or {}
    except Exception:  # whatever goes wrong in looking, saving the record must not
        if connection.in_atomic_block and connection.needs_rollback:
            raise
        log.exception("a record could not be looked at before its change")


def _compared(kind: SubjectType, fields: Collection[str] | None) -> list[str]:
    names = [field.name for field in kind.model._meta.concrete_fields if field.name not in UNTOLD]
    return [name for name in names if fields is None or name in fields]


def tell_of_change(*, kind: SubjectType, instance: Any) -> None:
    """A record was saved again; nothing is written when nobody listens, and saving it never fails because of it."""
    before = instance.__dict__.pop(BEFORE, None)
    if before is None:
        return
    subject = (kind.content_type_id, instance.pk)
    _apart(lambda: _changed(kind, instance.team_id, [subject], (), {subject: _changes(kind, instance, before)}))


def tell_of_new(*, kind: SubjectType, ids: Sequence[int], team_id: int) -> None:
    """Records were made: webhooks that hear of it are told, and making them never fails because of it."""
    if hearing.anybody_hears():
        _apart(lambda: hearing.tell_of_new(kind=kind, ids=ids, team_id=team_id))


def _changed(
    kind: SubjectType,
    team_id: int,
    subjects: Sequence[tuple[int, int]],
    fields: Sequence[str],
    changes: Mapping[tuple[int, int], Mapping[str, list[Any]]],
) -> None:
    announce(team_id=team_id, subjects=subjects, fields=fields, changes=changes)
    told = {pk: each for (_, pk), each in changes.items()}
    hearing.tell_of_changes(kind=kind, team_id=team_id, changes=told)


def _changes(kind: SubjectType, instance: Any, before: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What saving changed."""
    after = {}
    for name in before:
        field: Any = kind.model._meta.get_field(name)
        value = getattr(instance, field.attname)
        after[name] = value if field.is_relation or value is None else field.to_python(value)
    return _told_apart(before, after)


def _told_apart(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What differs between two rows, custom values by their own keys."""
    old, new = dict(before), dict(after)
    kept: dict[str, Any] = {}
    given: dict[str, Any] = {}
    for name in ("custom", "values"):
        kept |= old.pop(name, None) or {}
        given |= new.pop(name, None) or {}
    return changes_of({**kept, **old}, {**dict.fromkeys(kept), **given, **new})


def tell_of_changes(
    model: type[Model],
    ids: Sequence[int],
    team: Team,
    fields: Sequence[str],
    before: Mapping[int, Mapping[str, Any]],
    /,
) -> None:
    """Records were changed in bulk, which no signal announces: two statements more where somebody listens."""
    kind = subject_types().get(model._meta.label_lower)
    if kind is None or not ids or not anybody_listens(team_id=team.pk):
        return
    names = [name for name in next(iter(before.values()), {}) if name in fields and name not in UNTOLD]
    rows = kind.model._default_manager.filter(pk__in=[pk for pk in ids if pk in before]).values("pk", *names)
    changes = {
        (kind.content_type_id, row["pk"]): _told_apart(
            {name: before[row["pk"]][name] for name in names}, {name: row[name] for name in names}
        )
        for row in rows
    }
    subjects = [(kind.content_type_id, pk) for pk in ids]
    _apart(lambda: _changed(kind, team.pk, subjects, fields, changes))


def tell_of_removal(*, kind: SubjectType, instance: Any) -> None:
    """A record was deleted: pipelines that begin by that get its last values."""
    _apart(lambda: _removed(kind, instance))


def _removed(kind: SubjectType, instance: Any) -> None:
    triggers = Trigger.objects.filter(
        kind=Trigger.Kind.DELETED, model_id=kind.content_type_id, enabled=True,
        pipeline__status=Pipeline.Status.ACTIVE, pipeline__team_id=instance.team_id,
    )  # fmt: skip
    if triggers.exists():
        record = plain(_values(kind, instance))
        publish_all([Fact(instance.team_id, DELETED, kind.content_type_id, instance.pk, {"record": record})])
    hearing.tell_of_removal(kind=kind, team_id=instance.team_id, pk=instance.pk, record=lambda: _values(kind, instance))


def _values(kind: SubjectType, instance: Any) -> dict[str, Any]:
    values = {field.name: getattr(instance, field.attname) for field in kind.model._meta.concrete_fields}
    return {name: value for name, value in values.items() if name not in HIDDEN}


def on_message(*, message: Message, event: MessageEvent, **_: Any) -> None:
    """What became of a message; what programs do to mail moves nobody, and opens always come with a doubt.

    Complaints, and bounces of mailboxes that do not exist, are told of the address, as it is suppressed. That a letter
    was sent is told as it is settled; the rest is told by its provider, never by programs that look at it.
    """
    doubtful = event.kind == MessageEvent.Kind.OPENED and event.reason in DOUBTFUL
    soft = event.kind == MessageEvent.Kind.BOUNCED and event.place == SOFT
    letter = message.channel != Message.Channel.EMAIL and event.kind != MessageEvent.Kind.SENT
    if letter or event.likely_human or doubtful or soft or event.kind == MessageEvent.Kind.DELIVERED:
        _apart(lambda: publish_all([_fact(message, event)]))


def _fact(message: Message, event: MessageEvent) -> Fact:
    payload = {
        "email": message.recipient, "message": message.pk, "subject": message.subject, "run": message.run_id,
        "step": message.step_id, "likely_human": event.likely_human, "reason": event.reason,
        **({"url": event.url} if event.url else {}), **({"text": event.text[:2000]} if event.text else {}),
        **({"hard": False} if event.kind == MessageEvent.Kind.BOUNCED else {}),
    }  # fmt: skip
    return Fact(
        message.team_id, f"{message.channel}_{event.kind}", message.about_type_id, message.about_id, payload,
        key=f"message-event:{event.pk}",
    )  # fmt: skip


def on_suppressed(*, addresses: Sequence[tuple[int, str, str]], reason: str, **_: Any) -> None:
    """(team, address, topic) that get no more mail: an event for each contact of the address."""
    type_ = EVENTS.get(reason)
    if type_ is not None:
        _apart(lambda: _publish(type_, addresses))


def on_subscribed(*, team_id: int, address: str, topic: str, **_: Any) -> None:
    """An event for each contact of the address that wants a topic from now on."""
    _apart(lambda: _publish("subscribed", [(team_id, address, topic)]))


def on_mail(**_: Any) -> None:
    """Mail of the ground floor waits: a worker shall not sleep until the next minute."""
    kick()


def _publish(type_: str, addresses: Sequence[tuple[int, str, str]]) -> None:
    kind = subject_types()[Contact._meta.label_lower]
    facts = _facts_of_numbers(type_, [each for each in addresses if "@" not in each[1]])
    bounced = type_ == EVENTS[Suppression.Reason.BOUNCED.value]
    for team in Team.objects.filter(pk__in={team_id for team_id, _, _ in addresses}):
        mine = _topics(each for each in addresses if each[0] == team.pk)
        for pk, email in with_email(team=team, emails=[address for _, address in mine]).values_list("pk", "email"):
            for topic in mine[team.pk, email.lower()]:
                payload = {"email": email, "topic": topic, **({"hard": True} if bounced else {})}
                facts.append(Fact(team.pk, type_, kind.content_type_id, pk, payload))
    if facts:
        publish_all(facts)


def _topics(addresses: Iterable[tuple[int, str, str]]) -> dict[tuple[int, str], list[str]]:
    found: dict[tuple[int, str], list[str]] = {}
    for team_id, address, topic in addresses:
        found.setdefault((team_id, address.lower()), []).append(topic)
    return found


def _facts_of_numbers(type_: str, addresses: Sequence[tuple[int, str, str]]) -> list[Fact]:
    """Numbers and devices belong to whom the last message to them was about; their bounces are told otherwise."""
    topics = _topics(addresses)
    if not topics or type_ != "unsubscribed":
        return []
    rows = Message.objects.filter(
        team_id__in={team_id for team_id, _ in topics}, recipient__in={address for _, address, _ in addresses},
        about_id__isnull=False, channel__in=OptIn.Channel.values,
    ).exclude(
        state=Message.State.CAPTURED
    ).order_by("pk").values_list("team_id", "recipient", "about_type_id", "about_id")  # fmt: skip
    last = {(team_id, address): (kind, pk) for team_id, address, kind, pk in rows}
    return [
        Fact(team_id, type_, *about, {"address": address, "topic": topic})
        for (team_id, address), about in last.items()
        for topic in topics.get((team_id, address.lower()), ())
    ]


def tell_of_task(sender: object, instance: Task, raw: bool = False, **_: Any) -> None:
    """A task was done: an event about what it is about, once however often it is saved."""
    if raw or instance.status != Task.Status.DONE or instance.completed_at is None or _of_a_test(instance):
        return
    payload = {"task": instance.pk, "title": instance.title, "priority": instance.priority, "run": instance.run_id}
    fact = Fact(
        instance.team_id, TASK_COMPLETED, instance.subject_type_id, instance.subject_id, payload,
        key=f"{instance.pk}:{instance.completed_at.isoformat()}",
    )  # fmt: skip
    _apart(lambda: publish_all([fact]))


def _of_a_test(task: Task) -> bool:
    """Whether a test run asked for it: then nobody hears that it was done."""
    return task.run_id is not None and PipelineRun.objects.filter(pk=task.run_id, test=True).exists()


def _apart(work: Callable[[], object]) -> None:
    """In a savepoint, so that what happened stands even if telling of it fails."""
    try:
        with transaction.atomic():
            work()
    except Exception:  # whatever goes wrong in telling, what happened must not be undone
        if connection.in_atomic_block and connection.needs_rollback:
            raise
        log.exception("an event could not be stored")
