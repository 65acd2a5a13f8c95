"""What worker processes do in the fault tests; each is called in a process of its own and may be broken anywhere."""

import json
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import time_machine
from django.db import connection, transaction
from django.db.models import Q
from django.test import Client

from contacts.models import Contact, Segment
from contacts.operations import bulk_create_contacts
from crm import faults
from crm import unsubscribe as unsubscribing
from crm.consent import Act, subscribe
from crm.devices import register_device
from crm.integrations import keep_settings
from crm.keys import create_key
from crm.models import Integration, Message, Task, Team, Topic
from crm.sealing import unseal
from crm.signatures import sign
from crm.unsubscribe import unsubscribe_url
from crm.work import Worker
from pipelines.actions.base import Await, Done, EffectRequest, Input, Kind, Outcome
from pipelines.definition.program import Step
from pipelines.doctor import examine
from pipelines.engine.clock import engine_now, set_test_clock
from pipelines.engine.controls import retry_runs, send_again
from pipelines.engine.enroll import enroll
from pipelines.engine.events import Fact, publish_all
from pipelines.engine.tick import process_due_runs, run_until_idle
from pipelines.models import (
    Effect,
    Hook,
    HumanTask,
    Pipeline,
    PipelineRun,
    PipelineStep,
    StepExecution,
    Trigger,
    Webhook,
    WebhookDelivery,
)
from pipelines.operations import import_document
from pipelines.operations.people import answer_form
from pipelines.operations.webhooks import make_webhook
from pipelines.subjects import subject_types
from pipelines.triggers.hooks import open_hook, token_hash
from tests.faults.oracle import number_of
from tests.pipelines.engine.building import document
from tests.sinks.providers import ACCOUNT, SECRET
from tests.sinks.receipts import Receipts

LETTERS, GATEWAY, WEB = "FAULTS_LETTERS", "FAULTS_GATEWAY", "FAULTS_WEB"


class PostLetter(Kind):
    """An action of a project: each letter is a line of a file."""

    code = "custom.post_letter"
    label = "Post letter"
    effects = True
    requires_subject = True
    schema = {"type": "object", "additionalProperties": False, "properties": {}}

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [Await(EffectRequest("custom", payload={"to": dict(visit.subject or {})["email"]})) for visit in batch]

    def deliver(self, *, payload: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        letters = Receipts(Path(os.environ[LETTERS]))
        letters.add(to=payload["to"], key=key)
        letters.close()
        return {}


class Poison(Kind):
    """An action that kills its process for one contact."""

    code = "custom.poison"
    label = "Poison"
    schema = {"type": "object", "additionalProperties": False, "properties": {}}

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        if any("p7@" in dict(visit.subject or {})["email"] for visit in batch):
            os.kill(os.getpid(), signal.SIGKILL)
        return [Done("next") for _ in batch]


class Breed(Kind):
    """An action that creates a contact, which enters the same pipeline, and so on."""

    code = "custom.breed"
    label = "Breed"
    schema = {"type": "object", "additionalProperties": False, "properties": {}}

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        for _ in batch:
            Contact.objects.create(team=_team(), lead_source="breed")
        return [Done("next") for _ in batch]


def clock(at: str) -> None:
    """Set the test clock."""
    set_test_clock(datetime.fromisoformat(at))


def build(key: str, steps: list[dict[str, Any]]) -> None:
    """An active pipeline that takes the contacts whose lead source is its key."""
    trigger = {"type": "created", "model": "contacts.contact", "automatic": True,
               "where": {"field": "contact.lead_source", "operator": "equals", "value": key}}  # fmt: skip
    open_channels({step["type"] for step in steps}, team=_team())
    if any(step["type"] == "call" for step in steps):
        task = {"key": "task", "type": "create_task", "with": {"title": "Call {{ contact.first_name }}"}}
        called = document([task], key=f"{key}_called", triggers=[{"type": "manual"}])
        import_document(team=_team(), document=called, activate=True)
    import_document(team=_team(), document=document(steps, key=key, triggers=[trigger]), activate=True)


def build_posted(key: str, steps: list[dict[str, Any]]) -> None:
    """An active pipeline that takes whoever is posted to its webhook, whose token is known by the key."""
    triggers = [{"type": "webhook", "key": "posted"}]
    pipeline = import_document(team=_team(), document=document(steps, key=key, triggers=triggers), activate=True)
    opened = open_hook(trigger=pipeline.triggers.get(), name=key, fields={"first_name": "{{ trigger.first_name }}"})
    Hook.objects.filter(pk=opened.hook.pk).update(token_hash=token_hash(f"crmh_{key}"))


def build_told(key: str, steps: list[dict[str, Any]]) -> None:
    """An active pipeline that takes whom an event of its own is told about."""
    triggers = [{"type": "event", "event": f"told.{key}"}]
    import_document(team=_team(), document=document(steps, key=key, triggers=triggers), activate=True)


def build_timed(key: str, steps: list[dict[str, Any]]) -> None:
    """An active pipeline that looks every hour for the contacts of its source, for the first time now."""
    each = {"model": "contacts.contact", "where": {"field": "lead_source", "operator": "equals", "value": key}}
    triggers = [{"type": "cron", "cron": "0 * * * *", "tz": "UTC", "for_each": each, "reentry": "once"}]
    import_document(team=_team(), document=document(steps, key=key, triggers=triggers), activate=True)
    Trigger.objects.filter(pipeline__key=key).update(next_fire_at=engine_now(), armed_at=engine_now())


def build_ruled(key: str, steps: list[dict[str, Any]]) -> None:
    """An active pipeline for who enters a segment, whose rule is met by the contacts of its source."""
    where = {"field": "contact.lead_source", "operator": "equals", "value": key}
    Segment.objects.create(
        team=_team(), key=key, name=key, kind=Segment.Kind.DYNAMIC, where=where, look_at=engine_now()
    )
    triggers = [{"type": "segment", "segment": key}]
    import_document(team=_team(), document=document(steps, key=key, triggers=triggers), activate=True)


def build_news(key: str, steps: list[dict[str, Any]]) -> None:
    """An active pipeline, and a webhook that hears of contacts that are made and of runs that end."""
    build(key, steps)
    make_webhook(team=_team(), name=key, url=f"{os.environ[WEB]}/news/{key}", types=["created", "run_completed"])


def build_asked(key: str, steps: list[dict[str, Any]]) -> None:
    """An active pipeline, and a topic whose subscribers are asked to confirm."""
    build(key, steps)
    Topic.objects.create(team=_team(), key=key, name=key, confirm=True)


def open_channels(kinds: set[str], *, team: Team) -> None:
    """The providers that these kinds of steps send by."""
    web = os.environ.get(WEB, "")
    meta = {"access_token": "a-long-token", "app_secret": SECRET, "verify_token": "word"}
    twilio = {"account_sid": ACCOUNT, "sender": "+4930123456", "base_url": os.environ.get(GATEWAY, "")}
    needed = {
        "send_sms": ("twilio", {**twilio, "auth_token": SECRET}),
        "send_whatsapp": ("whatsapp_cloud", {"number_id": "77", "base_url": web, **meta}),
        "send_push": ("webpush", {"contact": "mailto:ops@acme.example"}),
        "send_chat": ("slack", {"address": f"{web}/chat"}),
    }
    for provider, settings in [needed[kind] for kind in sorted(kinds & needed.keys())]:
        if not Integration.objects.filter(team=team, provider=provider).exists():
            row = Integration(team=team, provider=provider)
            keep_settings(row, settings)
            row.save()


def _subscribe_browsers(key: str, emails: Sequence[str]) -> None:
    """A browser for each of these contacts, where their pipeline sends push messages."""
    if not PipelineStep.objects.filter(pipeline__key=key, action_type="send_push").exists():
        return
    kind = subject_types()["contacts.contact"].content_type_id
    # The keys of the example of RFC 8291.
    keys = {
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    }
    for pk, email in Contact.objects.filter(email__in=emails).values_list("pk", "email"):
        subscription = {"endpoint": f"{os.environ[WEB]}/push/{email}", "keys": keys}
        register_device(
            team_id=_team().pk, about_type_id=kind, about_id=pk, now=engine_now(), subscription=subscription
        )


class NotTaken(Exception):
    """The answer was not the one that promises something."""


def tell_of(key: str, item: dict[str, Any]) -> None:
    """A contact, and then an event about it, told through the API as others tell it: in no transaction of ours."""
    _, token = create_key(team=_team(), name=f"key {item['email']}", role="admin")
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {token}"})
    Contact.objects.create(team=_team(), **item)
    body = {"type": f"told.{key}", "email": item["email"], "key": item["email"]}
    if client.post("/api/v1/events/", body, content_type="application/json").status_code != 202:
        raise NotTaken


def post(key: str, number: int, message_id: str) -> int:
    """What a sender does: sign and post; the status of the answer, 500 when it broke."""
    secret = unseal(Hook.objects.get(name=key).secret)
    body = json.dumps({"email": f"{key}{number}@example.org", "first_name": f"C{number}"}).encode()
    stamp = int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": sign(secret=secret, message_id=message_id, timestamp=stamp, body=body),
    }
    client = Client(raise_request_exception=False)
    sent = client.post(f"/api/v1/hooks/crmh_{key}/", body, content_type="application/json", headers=headers)
    return sent.status_code


def post_again_and_again(key: str, number: int, times: int) -> list[int]:
    """The same post so many times; every answer."""
    return [post(key, number, f"msg-{number}") for _ in range(times)]


def enter(key: str, numbers: list[int], receipts: str, *, one_by_one: bool = False) -> None:
    """Create contacts and write down, on disk, which of them the database acknowledged."""
    items = [
        {"first_name": f"C{n}", "email": f"{key}{n}@example.org", "lead_source": key, "phone": number_of(key, n)}
        for n in numbers
    ]
    acknowledged = Receipts(Path(receipts))
    if Hook.objects.filter(name=key).exists():
        for number, item in zip(numbers, items, strict=True):
            if post(key, number, f"msg-{number}") in (200, 202):
                acknowledged.add(email=item["email"])
    elif Trigger.objects.filter(event=f"told.{key}").exists():
        for item in items:
            with suppress(NotTaken):
                tell_of(key, item)
                acknowledged.add(email=item["email"])
    elif Topic.objects.filter(key=key).exists():
        for item in items:
            Contact.objects.create(team=_team(), **item)
            subscribe(team_id=_team().pk, address=item["email"], topic=key, act=Act(engine_now(), "form"))
            acknowledged.add(email=item["email"])
    elif one_by_one:
        for item in items:
            with transaction.atomic():
                contact = Contact.objects.create(team=_team(), **item)
                _subscribe_browsers(key, [item["email"]])
                greet(key, [contact.pk])
            acknowledged.add(email=item["email"])
    else:
        with transaction.atomic():
            bulk_create_contacts(team=_team(), items=items)
            emails = [item["email"] for item in items]
            _subscribe_browsers(key, emails)
            greet(key, list(Contact.objects.filter(email__in=emails).values_list("pk", flat=True)))
        for item in items:
            acknowledged.add(email=item["email"])


def greet(key: str, ids: list[int]) -> None:
    """Tell those who wait for it that these contacts were greeted."""
    if Pipeline.objects.filter(key=key, steps__key="greeted").exists():
        kind = subject_types()["contacts.contact"].content_type_id
        publish_all([Fact(_team().pk, "greeted", kind, pk) for pk in ids])


def work() -> dict[str, Any]:
    """One pass of the engine."""
    return process_due_runs().as_dict()


def answer_people() -> int:
    """Whoever was asked says yes; how many were."""
    asked = list(HumanTask.objects.filter(status=HumanTask.Status.OPEN).select_related("task").order_by("pk"))
    for form in asked:
        answer_form(task=form.task, worker=Worker(role="owner"), outcome="yes", values={})
    return len(asked)


def enter_and_work(key: str, numbers: list[int], receipts: str) -> dict[str, Any]:
    """A process that takes people in, and then moves everybody who is due; who is asked meanwhile answers."""
    enter(key, numbers, receipts, one_by_one=True)
    done = work()
    return work() if answer_people() else done


def met(key: str, numbers: list[int], receipts: str) -> dict[str, int]:
    """How often each fault point is met by such a process."""
    faults.count()
    enter_and_work(key, numbers, receipts)
    return dict(faults.MET)


def end_leases() -> None:
    """Let the time pass that dead or standing workers had."""
    long_ago = datetime.fromisoformat("2001-01-01T00:00:00Z")
    Effect.objects.filter(status__in=[Effect.Status.LEASED, Effect.Status.SENDING]).update(lease_until=long_ago)
    WebhookDelivery.objects.exclude(lease_until=None).update(lease_until=long_ago)


def drain() -> None:
    """Work until nothing is due in two days, retries included."""
    end_leases()
    start = engine_now()
    for hours in (0, 1, 48):
        run_until_idle(now=start + timedelta(hours=hours))
        if answer_people():
            run_until_idle(now=start + timedelta(hours=hours))


def close(key: str) -> None:
    """Nobody enters this pipeline any more."""
    Pipeline.objects.filter(key=key).update(status=Pipeline.Status.ARCHIVED)
    Webhook.objects.filter(name=key).update(enabled=False)


def state(key: str) -> dict[str, Any]:
    """What the database holds about the contacts of a scene."""
    contacts = Contact.objects.for_team(_team()).filter(lead_source=key)
    addresses = dict(contacts.values_list("pk", "email"))
    runs = PipelineRun.objects.filter(Q(pipeline__key=key) | Q(root__pipeline__key=key))
    roots = runs.filter(parent=None).values_list("subject_id", flat=True)
    effects = Effect.objects.filter(run_id__in=runs.values("pk"))
    owners = {pk: subject for pk, subject in runs.values_list("pk", "subject_id") if subject is not None}
    tasks = Task.objects.filter(run_id__in=owners, human=None).values_list("run_id", flat=True)
    doubtful = effects.filter(status__in=[Effect.Status.UNCERTAIN, Effect.Status.FAILED]).values_list("run_id", "error")
    asked = Message.objects.filter(recipient__in=addresses.values(), run_id=None).exclude(state=Message.State.SENT)
    told = {addresses[owners[run_id]]: error for run_id, error in doubtful}
    return {
        "ids": {str(pk): address for pk, address in addresses.items()},
        "contacts": sorted(addresses.values()),
        "marks": {row.email: row.custom.get("marks") for row in contacts},
        "runs": Counter(addresses[pk] for pk in roots if pk is not None),
        "tasks": Counter(addresses[owners[pk]] for pk in tasks if pk is not None),
        "told": told | dict(asked.values_list("recipient", "error")),
        "statuses": Counter(str(status) for status in runs.values_list("status", flat=True)),
        "keys": {f"{run}:": addresses[subject] for run, subject in owners.items()},
        "ways": _ways({pk: addresses[subject] for pk, subject in owners.items()}),
    }


def _ways(owners: Mapping[int, str]) -> dict[str, list[str]]:
    """Every visit of each contact, in branches and called pipelines too, without its time."""
    found: dict[str, list[str]] = {}
    keys = dict(PipelineStep.objects.values_list("pk", "key"))
    visits = StepExecution.objects.filter(run_id__in=owners, event=StepExecution.Event.COMPLETED)
    for run_id, step_id, outcome in visits.values_list("run_id", "step_id", "outcome"):
        found.setdefault(owners[run_id], []).append(f"{keys[step_id]}:{outcome}")
    return {address: sorted(way) for address, way in found.items()}


def findings() -> list[str]:
    """Codes of what the doctor finds."""
    return [finding.code for finding in examine(minutes=5)]


def messages(key: str) -> dict[str, int]:
    """Messages of a scene by state."""
    return dict(Counter(Message.objects.filter(recipient__startswith=key).values_list("state", flat=True)))


def query(sql: str) -> list[list[Any]]:
    """Rows of a statement."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [list(row) for row in cursor.fetchall()] if cursor.description else []


def _team() -> Team:
    return Team.objects.get(slug="acme")


def die_after_saving(key: str, number: int) -> None:
    """Save a contact, commit, and die before any callback ran."""
    with transaction.atomic():
        transaction.on_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))
        Contact.objects.create(team=_team(), email=f"{key}{number}@example.org", lead_source=key)


def save_and_roll_back(key: str, number: int) -> None:
    """Save a contact in a transaction that fails afterwards."""
    with suppress(ZeroDivisionError), transaction.atomic():
        Contact.objects.create(team=_team(), email=f"{key}{number}@example.org", lead_source=key)
        raise ZeroDivisionError


def enroll_everybody(key: str, source: str) -> int:
    """Put all contacts of a source in by hand; how many runs came of it."""
    ids = list(Contact.objects.for_team(_team()).filter(lead_source=source).order_by("pk").values_list("pk", flat=True))
    pipeline = Pipeline.objects.get(key=key)
    return sum(len(enroll(pipeline=pipeline, subject_ids=[pk]).enrolled) for pk in ids)


def unsubscribe(address: str) -> int:
    """What the mail program of a recipient does when its button is pressed; the status of the answer."""
    # A machine that stands still for a while must not look like an answer that came too early.
    unsubscribing.WAIT_SECONDS = 60.0
    message = Message.objects.filter(recipient=address).latest("pk")
    link = unsubscribe_url(team_id=message.team_id, address=address, topic=message.topic)
    return Client().post(urlsplit(link).path, {"List-Unsubscribe": "One-Click"}).status_code


def retry(run_id: int) -> int:
    """What an operator's button does; how many runs it moved."""
    return retry_runs(run_ids=[run_id])


def send_once_more(message_id: int) -> bool:
    """A person decides that a doubtful message shall go out again; whether it did anything."""
    return send_again(message=Message.objects.get(pk=message_id))


def with_clock_off_by(hours: float) -> dict[str, Any]:
    """One pass on a machine whose wall clock is wrong."""
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=hours)):
        return work()


def read_for(seconds: float) -> int:
    """A long reader: one transaction that looks at everything for so long."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM contacts_contact")
        time.sleep(seconds)
        cursor.execute("SELECT count(*) FROM contacts_contact")
        found = cursor.fetchone()
        cursor.execute("COMMIT")
    return int(found[0])


def keep_working(stop: str) -> int:
    """A worker that goes on until a file says stop, whatever breaks meanwhile."""
    passes = 0
    while not Path(stop).exists():
        try:
            process_due_runs(budget_seconds=5)
            passes += 1
        except Exception:  # what a cluster does: the task failed, the next one comes
            connection.close()
            time.sleep(0.1)
        time.sleep(0.02)
    return passes


def keep_entering(scenes: list[list[str]], stop: str, seed: int) -> int:
    """Create contacts one after the other in random scenes; write down who was tried and who was acknowledged."""
    random, numbers = Random(seed), count(0)
    receipts = {key: (Receipts(Path(tried)), Receipts(Path(heard))) for key, tried, heard in scenes}
    while not Path(stop).exists():
        key, email = random.choice(list(receipts)), f"{next(numbers)}@example.org"
        tried, heard = receipts[key]
        try:
            team = _team()
        except Exception:  # nobody is tried while the database is away
            connection.close()
            time.sleep(0.1)
            continue
        tried.add(email=f"{key}{email}")
        try:
            with transaction.atomic():
                contact = Contact.objects.create(team=team, first_name="C", email=f"{key}{email}", lead_source=key)
                greet(key, [contact.pk])
            heard.add(email=f"{key}{email}")
        except Exception:
            # Patience, as people have: a storm of failed attempts would prove nothing.
            connection.close()
            time.sleep(1.0)
        time.sleep(random.uniform(0, 0.02))
    return next(numbers)


def work_measured() -> dict[str, Any]:
    """Everything that is due, in this process, and by how many megabytes its memory has grown at the most."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = process_due_runs(budget_seconds=600)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {**report.as_dict(), "grown_mb": grown / 1024}
