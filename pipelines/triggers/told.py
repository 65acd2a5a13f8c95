"""Events that others tell: their type is known, what they carry fits it, and whom they are about is of the team."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware
from jsonschema import Draft202012Validator

from contacts.models import Contact
from contacts.queries import with_email
from crm.faults import point, register
from crm.models import Team
from pipelines.definition.expressions import suggestion
from pipelines.definition.shapes import parameter_shape
from pipelines.engine.events import Fact, publish_each
from pipelines.engine.unheard import commit_unheard
from pipelines.engine.ways import INACTIVE
from pipelines.models import EventType, Pipeline, PipelineStep, Trigger
from pipelines.subjects import SubjectType, subject_named, subject_types
from pipelines.triggers.storing import storable

MOST: Final = 1_000
LARGEST_BYTES: Final = 64 * 1024
NAMES: Final = ("type", "subject", "email", "payload", "key", "occurred_at")
# Named events of every CRM, which need no definition; what they carry is free.
BUILT_IN: Final = frozenset({
    "signup", "login", "user_login", "purchase_completed", "abandoned_cart", "app_installed", "app_uninstalled",
    "push_opened", "user_inactive", "custom_event",
})  # fmt: skip
OF_LETTERS: Final = frozenset(
    f"{channel}_{kind}"
    for channel in ("sms", "whatsapp", "push")
    for kind in ("sent", "delivered", "read", "failed", "undelivered", "replied")
)
# What the CRM itself finds out; whoever could tell it from outside could forge it.
OWN: Final = frozenset({
    "created", "updated", "deleted", "stage_changed", "task_completed", "form_answered",
    "segment_entered", "segment_left", INACTIVE, "email_sent", "email_delivered", "email_opened", "email_clicked",
    "email_bounced", "email_complained", "email_replied", "subscribed", "unsubscribed",
    "chat_sent",
}) | OF_LETTERS  # fmt: skip

register("in_told", "events that were told are stored, nothing is committed", in_transaction=True)
register("after_told", "events that were told are committed and not answered yet")


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with one of the events, and where, such as `events[3].payload.total`."""

    path: str
    message: str


class NotTold(Exception):
    """Some events cannot be taken, so none is."""

    def __init__(self, wrong: Sequence[Wrong]) -> None:
        super().__init__(f"{wrong[0].path}: {wrong[0].message}")
        self.wrong = list(wrong)


def tell(*, team: Team, items: Sequence[Any], now: datetime, at: str = "events") -> list[bool]:
    """Store these events, all or none, each key once; for each whether it is new.

    An item is `{type, subject: {type, id} | email, payload, key, occurred_at}`. Raises NotTold with every problem.
    """
    facts = read_events(team=team, items=items, now=now, at=at)
    with transaction.atomic():
        stored = publish_each(facts, now=now)
        point("in_told", then=commit_unheard)
    point("after_told")
    return stored


def read_events(*, team: Team, items: Sequence[Any], now: datetime, at: str = "events") -> list[Fact]:
    """What these items say, as facts; a fixed number of statements. Raises NotTold."""
    wrong: list[Wrong] = []
    for index, item in enumerate(items):
        wrong += _shape_problems(item, _place(at, index), now)
    if wrong:
        raise NotTold(wrong)
    wrong += _type_problems(team, items, at)
    subjects = _subjects(team, items, at, wrong)
    if wrong:
        raise NotTold(wrong)
    return [_fact(team, item, subjects[index], now) for index, item in enumerate(items)]


def _place(at: str, index: int) -> str:
    return f"{at}[{index}]." if at else ""


def _fact(team: Team, item: Mapping[str, Any], subject: tuple[int, int] | None, now: datetime) -> Fact:
    moment = parse_datetime(item["occurred_at"]) if item.get("occurred_at") else None
    type_id, pk = subject or (None, None)
    return Fact(
        team.pk, item["type"], type_id, pk, item.get("payload") or {}, key=item.get("key") or None, occurred_at=moment
    )


def _shape_problems(item: Any, at: str, now: datetime) -> Iterator[Wrong]:
    if not isinstance(item, Mapping):
        yield Wrong(at.rstrip("."), 'must be an object such as {"type": "signup", "email": "ada@example.org"}')
        return
    for name in sorted(set(map(str, item)) - set(NAMES)):
        yield Wrong(f"{at}{name}", f"is not known{suggestion(name, NAMES)}; there are {', '.join(NAMES)}")
    if not isinstance(item.get("type"), str) or not 0 < len(item["type"]) <= 80:
        yield Wrong(f"{at}type", "must be the name of an event, at most 80 characters")
    if item.get("key") is not None and not (isinstance(item["key"], str) and len(item["key"]) <= 120):
        yield Wrong(f"{at}key", "must be a text of at most 120 characters")
    if item.get("email") is not None and not isinstance(item["email"], str):
        yield Wrong(f"{at}email", "must be an address")
    if item.get("email") and item.get("subject"):
        yield Wrong(f"{at}email", "give a subject or an email, not both")
    payload = item.get("payload")
    if payload is not None and not isinstance(payload, Mapping):
        yield Wrong(f"{at}payload", "must be an object")
    elif not storable(item):
        yield Wrong(f"{at}payload", "holds texts or numbers that cannot be stored, or more than 20 levels")
    elif len(json.dumps(payload)) > LARGEST_BYTES:
        yield Wrong(f"{at}payload", "is larger than 64 KiB")
    yield from _moment_problems(item.get("occurred_at"), f"{at}occurred_at", now)


def _moment_problems(value: Any, at: str, now: datetime) -> Iterator[Wrong]:
    if value is None:
        return
    try:
        moment = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or not is_aware(moment):
        yield Wrong(at, "must be a time with its zone, such as 2027-03-01T12:00:00Z")
    elif moment > now:
        yield Wrong(at, "lies in the future")


def _type_problems(team: Team, items: Sequence[Mapping[str, Any]], at: str) -> Iterator[Wrong]:
    """Unknown types, and payloads that do not fit theirs."""
    wanted = {item["type"] for item in items}
    defined = {row.name: row.schema for row in EventType.objects.filter(team=team, name__in=wanted)}
    unknown = wanted - defined.keys() - BUILT_IN
    known = known_types(team) if unknown - OWN else frozenset[str]()
    validators = {name: schema for name, schema in defined.items() if schema}
    for index, item in enumerate(items):
        name, place = item["type"], _place(at, index)
        if name in OWN:
            yield Wrong(f"{place}type", f"'{name}' is told by the CRM itself when it happens; choose another name")
        elif name in unknown and name not in known:
            hint = suggestion(name, known | BUILT_IN)
            yield Wrong(
                f"{place}type",
                f"there is no event type '{name}'{hint}; define it first, or let a pipeline listen to it",
            )
        elif name in validators:
            problems = parameter_shape(item.get("payload") or {}, schema=validators[name], at=["payload"], literal=True)
            yield from (Wrong(f"{place}{problem.path}", problem.message) for problem in problems)


def known_types(team: Team) -> frozenset[str]:
    """Types that the team has defined or that its pipelines listen to: four statements."""
    found = set(EventType.objects.filter(team=team).values_list("name", flat=True))
    live = Pipeline.objects.filter(team=team).exclude(status=Pipeline.Status.ARCHIVED)
    found |= set(Trigger.objects.filter(pipeline__in=live).exclude(event="").values_list("event", flat=True))
    for exits, goals in live.values_list("exit_rules", "goals"):
        found |= set(_events_in([*(exits or ()), *(goals or ())]))
    waiting = PipelineStep.objects.filter(pipeline__in=live, action_type="wait_for", archived_at=None)
    for data in waiting.values_list("data", flat=True):
        found |= set(_events_in((data or {}).get("events") or ()))
    return frozenset(found)


def _events_in(rules: Iterable[Any]) -> Iterator[str]:
    for rule in rules:
        if isinstance(rule, Mapping) and isinstance(rule.get("event"), str):
            yield rule["event"]


def _subjects(
    team: Team, items: Sequence[Mapping[str, Any]], at: str, wrong: list[Wrong]
) -> list[tuple[int, int] | None]:
    """(type, id) of the record that each event is about; one statement per type, and one for addresses."""
    contacts = subject_types()[Contact._meta.label_lower].content_type_id
    addresses = [str(item["email"]).strip() for item in items if item.get("email")]
    by_address: dict[str, int] = {}
    if addresses:
        rows = with_email(team=team, emails=addresses).order_by("-pk").values_list("email", "pk")
        by_address = {email.lower(): pk for email, pk in rows}
    known = _existing(team, items)
    found: list[tuple[int, int] | None] = []
    for index, item in enumerate(items):
        subject, place = item.get("subject"), _place(at, index)
        named = _named(subject)
        if item.get("email"):
            pk = by_address.get(str(item["email"]).strip().lower())
            found.append((contacts, pk) if pk is not None else None)
            if pk is None:
                wrong.append(Wrong(f"{place}email", "no contact has this address: create the contact first"))
        elif subject is None:
            found.append(None)
        elif named is None or named not in known:
            wrong.append(Wrong(f"{place}subject", 'names no record here; use {"type": "contacts.contact", "id": 5}'))
            found.append(None)
        else:
            found.append((_kind(named[0]).content_type_id, named[1]))
    return found


def _named(subject: Any) -> tuple[str, int] | None:
    if not isinstance(subject, Mapping):
        return None
    label, pk = subject.get("type") or subject.get("model"), subject.get("id")
    known = isinstance(label, str) and subject_named(label) is not None
    if not known or isinstance(pk, bool) or not isinstance(pk, int) or not 0 < pk < 2**63:
        return None
    return str(label), pk


def _existing(team: Team, items: Sequence[Mapping[str, Any]]) -> set[tuple[str, int]]:
    wanted: dict[str, set[int]] = {}
    for item in items:
        named = _named(item.get("subject"))
        if named is not None:
            wanted.setdefault(named[0], set()).add(named[1])
    return {(label, pk) for label, ids in wanted.items() for pk in _of_team(team, label, ids)}


def _of_team(team: Team, label: str, ids: Collection[int]) -> list[int]:
    return list(_kind(label).records(team.pk).filter(pk__in=ids).values_list("pk", flat=True))


def _kind(label: str) -> SubjectType:
    kind = subject_named(label)
    if kind is None:
        raise KeyError(label)
    return kind


def _refers_elsewhere(schema: Any) -> bool:
    """A reference to another address would be fetched from there."""
    if isinstance(schema, Mapping):
        words = [schema[name] for name in ("$ref", "$dynamicRef", "$id") if name in schema]
        return any(not str(word).startswith("#") for word in words) or any(map(_refers_elsewhere, schema.values()))
    return isinstance(schema, list) and any(map(_refers_elsewhere, schema))


def type_problems(name: str, schema: Any, sample: Any) -> Iterator[Wrong]:
    """What is wrong with an event type: its name, its schema, its sample."""
    if name in OWN:
        yield Wrong("name", f"'{name}' is told by the CRM itself: choose another name, such as my_{name}")
    yield from schema_problems(schema, sample)


def schema_problems(schema: Any, sample: Any) -> Iterator[Wrong]:
    """What is wrong with the schema of an event type, or with its sample."""
    if schema is not None:
        if not isinstance(schema, Mapping):
            yield Wrong("schema", "must be an object: a JSON Schema")
            return
        error = next(iter(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema)), None)
        if error is not None:
            yield Wrong("schema", f"is no JSON Schema: {error.message[:200]}")
            return
        if _refers_elsewhere(schema):
            yield Wrong("schema", "may refer to its own parts alone: write $ref with # in front")
            return
    if sample is not None:
        if not isinstance(sample, Mapping):
            yield Wrong("sample", "must be an object")
            return
        for problem in parameter_shape(sample, schema=schema or {}, at=["sample"], literal=True):
            yield Wrong(problem.path, problem.message)
