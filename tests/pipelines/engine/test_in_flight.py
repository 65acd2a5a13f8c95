"""`settings.max_in_flight` of a pipeline: so many of its messages and calls are on their way at once."""

import threading
from collections.abc import Mapping
from datetime import timedelta

import pytest

from contacts.models import Contact
from contacts.operations import bulk_create_contacts
from crm.models import Team
from pipelines.engine.advance import Progress
from pipelines.engine.deliver import LEASE_LIMIT, Delivery, delivered_by
from pipelines.models import Effect, PipelineRun
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, email, later
from tests.pipelines.engine.conftest import Run
from tests.sinks.http import Answer, HttpSink
from tests.sinks.smtp import SmtpSink

MOST = 3


def people(team: Team, count: int) -> None:
    start = Contact.objects.count()
    bulk_create_contacts(team=team, items=[{"email": f"c{start + n}@example.org"} for n in range(count)])


def test_no_more_calls_than_it_may_are_made_at_once_and_all_are_made(
    team: Team, run_at: Run, web: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, most, never = 0, 0, threading.Event()

    def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        never.wait(timeout=0.02)
        inside -= 1
        return Answer()

    monkeypatch.setattr(web, "answer_to", answer)
    call = {"type": "call_api", "with": {"method": "POST", "url": f"{web.url}/enrich", "json": {}}}
    active(team, [call], settings={"max_in_flight": MOST})
    people(team, 10)
    run_at(NOON)
    assert len(web.requests()) == 10
    assert most <= MOST
    assert PipelineRun.objects.filter(status=RunStatus.COMPLETED).count() == 10


def test_places_that_other_workers_hold_are_not_given_twice(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    active(team, [email()], settings={"max_in_flight": MOST})
    active(team, [email(subject="Free")], key="free")
    people(team, 5)
    with delivered_by(lambda *, now: Delivery(progress=Progress())):
        run_at(NOON)
    elsewhere = list(Effect.objects.filter(payload__has_key="flight").order_by("pk")[:MOST])
    lease = NOON + timedelta(days=3650)
    Effect.objects.filter(pk__in=[effect.pk for effect in elsewhere]).update(
        status=Effect.Status.LEASED, attempt=1, worker=1, lease_until=lease
    )
    run_at(later(seconds=1))
    assert sorted(str(mail["Subject"]) for mail in smtp.messages()) == ["Free"] * 5
    waiting = Effect.objects.filter(payload__has_key="flight", status=Effect.Status.QUEUED)
    assert set(waiting.values_list("attempt", flat=True)) == {0}

    Effect.objects.filter(pk=elsewhere[0].pk).update(status=Effect.Status.CANCELLED)
    run_at(later(seconds=10))
    assert waiting.count() == 0
    assert len(smtp.messages()) == 5 + 2


def test_a_long_queue_of_a_full_pipeline_keeps_no_others_from_leaving(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    active(team, [email()], settings={"max_in_flight": 1})
    people(team, LEASE_LIMIT + 5)
    with delivered_by(lambda *, now: Delivery(progress=Progress())):
        run_at(NOON)
        active(team, [email(subject="Free")], key="free")
        people(team, 1)
        run_at(later(seconds=1))
    elsewhere = Effect.objects.filter(payload__has_key="flight").earliest("pk")
    Effect.objects.filter(pk=elsewhere.pk).update(
        status=Effect.Status.LEASED, attempt=1, worker=1, lease_until=NOON + timedelta(days=3650)
    )
    run_at(later(seconds=2))
    assert [str(mail["Subject"]) for mail in smtp.messages()] == ["Free"]


def test_who_waits_for_a_place_keeps_the_order(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    active(team, [email()], settings={"max_in_flight": 2})
    people(team, 30)
    with delivered_by(lambda *, now: Delivery(progress=Progress())):
        run_at(NOON)
    for effect in Effect.objects.select_related("run"):
        Effect.objects.filter(pk=effect.pk).update(available_at=later(milliseconds=effect.run.subject_id or 0))
    run_at(later(hours=1))
    assert smtp.recipients() == [f"c{number}@example.org" for number in range(30)]
