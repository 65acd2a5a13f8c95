"""Outgoing webhooks: what integrators are told, how it is signed, repeated, stopped and replayed."""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from pytest_django import Settings

from contacts.models import Contact
from contacts.operations import bulk_create_contacts
from crm.models import Member, Message, Notification, Role, Task, Team
from crm.signatures import sign, verify
from pipelines.engine.clock import real_now
from pipelines.engine.tick import process_due_runs
from pipelines.models import Webhook, WebhookDelivery
from pipelines.operations.webhooks import make_webhook, rotate_secret, save_edited
from tests.api import Api
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run
from tests.sinks.http import Answer, HttpSink

pytestmark = pytest.mark.usefixtures("team")


def hearing(team: Team, web: HttpSink, *types: str, path: str = "/crm") -> tuple[Webhook, str]:
    return make_webhook(team=team, name="Billing", url=f"{web.url}{path}", types=types)


def told(web: HttpSink) -> list[dict[str, Any]]:
    return [json.loads(each["body"]) for each in web.requests()]


def headers(received: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in received["headers"].items()}


def ids(web: HttpSink) -> list[str]:
    return [headers(each)["webhook-id"] for each in web.requests()]


def test_records_messages_runs_and_tasks_are_told_once_and_signed(team: Team, web: HttpSink, run_at: Run) -> None:
    _, secret = hearing(team, web)
    pipeline = active(team, [{"type": "send_email", "with": {"subject": "Hi", "text": "Hi"}}])
    contact = Contact.objects.create(team=team, email="ada@example.org", first_name="Ada")
    contact.first_name = "Augusta"
    contact.save()
    task = Task.objects.create(team=team, title="Call", subject=contact, created_at=NOON)
    task.status, task.completed_at = Task.Status.DONE, NOON
    task.save()
    run_at(NOON)
    contact_id = contact.pk
    contact.delete()
    run_at(NOON)
    found = {each["type"]: each["data"] for each in told(web)}
    assert sorted(each["type"] for each in told(web)) == sorted(found)
    assert set(found) >= {"created", "updated", "email_sent", "run_completed", "task_completed", "deleted"}
    subject = {"type": "contacts.contact", "id": contact_id}
    assert all(found[each]["subject"] == subject for each in ("created", "updated", "email_sent", "deleted"))
    assert found["created"]["payload"]["record"]["email"] == "ada@example.org"
    assert found["updated"]["payload"]["changes"] == {"first_name": ["Ada", "Augusta"]}
    assert found["run_completed"]["payload"]["pipeline"] == pipeline.key
    for each in web.requests():
        assert verify(secret=secret, headers=headers(each), body=each["body"].encode(), now=time.time())


def test_only_what_was_asked_for_is_told_and_nothing_of_another_team(team: Team, web: HttpSink, run_at: Run) -> None:
    other = Team.objects.create(name="Other", slug="other")
    hearing(team, web, "created")
    for each in (team, other):
        contact = Contact.objects.create(team=each, email=f"{each.slug}@example.org")
        contact.last_name = "Lovelace"
        contact.save()
    bulk_create_contacts(team=team, items=[{"email": f"c{n}@example.org"} for n in range(3)])
    run_at(NOON)
    assert [each["type"] for each in told(web)] == ["created"] * 4
    assert not any("other@" in each["body"] for each in web.requests())


@pytest.mark.django_db(transaction=True)
def test_what_is_undone_is_not_told(team: Team, web: HttpSink) -> None:
    hearing(team, web)
    with transaction.atomic():
        Contact.objects.create(team=team, email="ada@example.org")
        transaction.set_rollback(True)
    assert not WebhookDelivery.objects.exists()


def test_f11_failures_are_repeated_by_the_table_with_one_id(team: Team, web: HttpSink, run_at: Run) -> None:
    hearing(team, web, "created")
    web.script(Answer(500), Answer(503, headers={"Retry-After": "4000"}), Answer(302, headers={"Location": "/x"}))
    Contact.objects.create(team=team, email="ada@example.org")
    run_at(NOON)
    row = WebhookDelivery.objects.get()
    assert (row.attempts, row.status, row.answer) == (1, 500, "The receiver answered 500.")
    assert NOON + timedelta(seconds=5) <= row.due_at <= NOON + timedelta(seconds=5.5)
    run_at(later(seconds=6))
    row.refresh_from_db()
    assert row.due_at == later(seconds=4006)
    run_at(later(seconds=4007))
    row.refresh_from_db()
    assert 1800 <= (row.due_at - later(seconds=4007)).total_seconds() <= 1980
    run_at(later(hours=3))
    row.refresh_from_db()
    assert (row.get_state_display(), row.attempts, row.answer) == ("delivered", 4, "{'ok': True}")
    assert len(ids(web)) == 4 and len(set(ids(web))) == 1


def test_f11_an_address_that_is_gone_is_switched_off_and_its_team_told(team: Team, web: HttpSink, run_at: Run) -> None:
    user = User.objects.create_user("owner", is_staff=True)
    Member.objects.create(team=team, user=user, role=Role.OWNER)
    webhook, _ = hearing(team, web, "created")
    web.script(Answer(410))
    for name in ("ada", "eve"):
        Contact.objects.create(team=team, email=f"{name}@example.org")
        run_at(NOON)
    webhook.refresh_from_db()
    assert not webhook.enabled and "410" in webhook.disabled_because
    assert len(web.requests()) == 1
    assert Notification.objects.get().title == "The webhook Billing is off"


def test_three_days_of_failure_switch_it_off_and_switching_it_on_delivers_what_waits(
    team: Team, web: HttpSink, run_at: Run
) -> None:
    webhook, _ = hearing(team, web, "created")
    web.script(*[Answer(500)] * 10)
    Contact.objects.create(team=team, email="ada@example.org")
    for hours in range(0, 90, 6):
        run_at(later(hours=hours))
    webhook.refresh_from_db()
    assert not webhook.enabled and webhook.disabled_because.startswith("Nothing was accepted for three days.")
    api = Api(team)
    sent = len(web.requests())
    assert api.patch(f"webhooks/{webhook.pk}/", {"enabled": True}).json()["disabled_because"] == ""
    web._answers.clear()
    run_at(later(days=6))
    assert len(web.requests()) == sent + 1
    assert WebhookDelivery.objects.get().get_state_display() == "delivered"


def test_f10_whoever_dies_after_the_post_has_it_posted_again_with_its_id(
    team: Team, web: HttpSink, run_at: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hearing(team, web, "created")
    Contact.objects.create(team=team, email="ada@example.org")

    def die(*_: Any, **__: Any) -> int:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.engine.outgoing.sending.settle", die)
        with pytest.raises(SystemExit):
            run_at(NOON)
    run_at(NOON)
    assert len(web.requests()) == 1, "the lease of the dead holds for a while"
    WebhookDelivery.objects.update(lease_until=real_now() - timedelta(seconds=1))
    run_at(NOON)
    assert len(ids(web)) == 2 and len(set(ids(web))) == 1


@pytest.mark.parametrize("trick", ["drip_headers", "large", "gzip", "silent", "close"])
def test_f12_a_receiver_that_plays_tricks_counts_as_failed(
    team: Team, web: HttpSink, run_at: Run, settings: Settings, trick: str
) -> None:
    settings.OUTBOUND_HTTP_SECONDS = 1.0 if trick in ("silent", "drip_headers") else 15.0
    hearing(team, web, "created")
    web.script(Answer(trick=trick))
    Contact.objects.create(team=team, email="ada@example.org")
    run_at(NOON)
    row = WebhookDelivery.objects.get()
    assert (row.get_state_display(), row.attempts, row.status) == ("waiting", 1, None) and row.answer


def test_f13_private_addresses_and_redirects_are_never_followed(
    team: Team, web: HttpSink, run_at: Run, settings: Settings
) -> None:
    hearing(team, web, "created")
    web.script(Answer(307, headers={"Location": f"{web.url}/private"}))
    Contact.objects.create(team=team, email="ada@example.org")
    run_at(NOON)
    assert len(web.requests()) == 1
    settings.OUTBOUND_HTTP_ALLOW = ""
    run_at(later(seconds=10))
    assert web.connections == 1
    assert "not a public address" in WebhookDelivery.objects.get().answer


def test_one_slow_address_does_not_hold_up_the_others(
    team: Team, web: HttpSink, run_at: Run, tmp_path: Path, settings: Settings
) -> None:
    with HttpSink(tmp_path / "slow.jsonl") as slow:
        settings.OUTBOUND_HTTP_ALLOW = f"127.0.0.0/8:{web.port},127.0.0.0/8:{slow.port}"
        settings.OUTBOUND_HTTP_SECONDS = 2.0
        slow.script(*[Answer(trick="silent")] * 100)
        hearing(team, slow, "created")
        hearing(team, web, "created")
        bulk_create_contacts(team=team, items=[{"email": f"c{n}@example.org"} for n in range(12)])
        run_at(NOON)
        times = [each["at"] for each in web.requests()]
        assert len(times) == 12 and max(times) - min(times) < 2.0
        assert len(slow.requests()) <= 6


def test_a_secret_is_told_once_kept_sealed_and_changed_with_a_day_of_both(team: Team, web: HttpSink) -> None:
    api = Api(team)
    made = api.post("webhooks/", {"name": "Shop", "url": f"{web.url}/x", "types": ["created"]}).json()
    old, pk = made["secret"], made["id"]
    assert old.startswith("whsec_") and api.get(f"webhooks/{pk}/").json()["secret"] is None
    assert old not in str(Webhook.objects.values().get())
    new = api.post(f"webhooks/{pk}/rotate/").json()["secret"]
    answer = api.post(f"webhooks/{pk}/test/").json()
    assert answer == {"accepted": True, "status": 200, "answer": "{'ok': True}"}
    received = web.requests()[0]
    for secret in (old, new):
        assert verify(secret=secret, headers=headers(received), body=received["body"].encode(), now=time.time())
    Webhook.objects.update(old_until=real_now() - timedelta(seconds=1))
    api.post(f"webhooks/{pk}/test/")
    last = web.requests()[-1]
    stamp, message_id = int(headers(last)["webhook-timestamp"]), headers(last)["webhook-id"]
    signature = sign(secret=new, message_id=message_id, timestamp=stamp, body=last["body"].encode())
    assert headers(last)["webhook-signature"] == signature


def test_one_delivery_and_all_since_a_time_are_replayed_with_their_ids(team: Team, web: HttpSink, run_at: Run) -> None:
    webhook, _ = hearing(team, web)
    api = Api(team)
    run_at(NOON)
    api.post("events/", {"type": "signup", "key": "a"})
    run_at(NOON)
    first = WebhookDelivery.objects.get()
    assert api.post(f"webhook-deliveries/{first.pk}/replay/").status_code == 202
    run_at(NOON)
    assert len(ids(web)) == 2 and len(set(ids(web))) == 1
    api.patch(f"webhooks/{webhook.pk}/", {"enabled": False})
    api.post("events/", {"type": "signup", "key": "missed"})
    run_at(NOON)
    api.patch(f"webhooks/{webhook.pk}/", {"enabled": True})
    again = api.post(f"webhooks/{webhook.pk}/replay/", {"since": later(hours=-1).isoformat()})
    assert again.json() == {"deliveries": 1}
    run_at(NOON)
    assert len(set(ids(web))) == 2


def test_unknown_events_bad_addresses_and_low_roles_are_refused(team: Team, web: HttpSink) -> None:
    api = Api(team)
    answer = api.post("webhooks/", {"name": "X", "url": f"{web.url}/", "types": ["email_opend"]})
    assert answer.status_code == 400 and "email_opened" in answer.content.decode()
    assert api.post("webhooks/", {"name": "X", "url": "ftp://example.org/"}).status_code == 400
    fine = {"name": "X", "url": "https://example.org/"}
    assert Api(team, role="manager").post("webhooks/", fine).status_code == 403
    assert api.post("webhooks/", fine, Idempotency_Key="once").status_code == 400


def test_a_person_makes_one_sees_the_secret_once_tests_and_replays(team: Team, web: HttpSink, run_at: Run) -> None:
    owner = User.objects.create_user("owner", is_staff=True)
    Member.objects.create(team=team, user=owner, role=Role.OWNER)
    client = Client()
    client.force_login(owner)
    form = {"name": "Shop", "url": f"{web.url}/shop", "types": ["created"]}
    assert "whsec_" in client.post("/admin/pipelines/webhook/add/", form).content.decode()
    webhook = Webhook.objects.get()
    page = f"/admin/pipelines/webhook/{webhook.pk}"
    assert "Accepted with 200" in client.post(f"{page}/test/", follow=True).content.decode()
    Contact.objects.create(team=team, email="ada@example.org")
    run_at(NOON)
    row = WebhookDelivery.objects.get()
    shown = client.get(f"{page}/change/").content.decode()
    assert "delivered" in shown and "whsec_" not in shown
    client.post(f"{page}/change/", {"_replay": row.pk})
    client.post(f"{page}/replay/", {"since": "day"})
    run_at(NOON)
    assert len(ids(web)) == 3
    assert "whsec_" in client.post(f"{page}/rotate/").content.decode()


def test_telling_of_many_takes_as_many_statements_as_of_few(
    team: Team, web: HttpSink, django_assert_max_num_queries: Any
) -> None:
    hearing(team, web, "email_sent", "created")
    for count in (10, 200):
        items = [{"email": f"c{count}-{n}@example.org"} for n in range(count)]
        with django_assert_max_num_queries(30):
            bulk_create_contacts(team=team, items=items)
    assert WebhookDelivery.objects.count() == 210 and not Message.objects.exists()
    process_due_runs()
    assert len(web.requests()) == 210


def test_an_edit_undoes_neither_a_new_secret_nor_what_a_pass_has_noted(team: Team, web: HttpSink) -> None:
    webhook, _ = hearing(team, web)
    edited = Webhook.objects.get(pk=webhook.pk)
    rotate_secret(webhook=webhook, now=NOON)
    Webhook.objects.filter(pk=webhook.pk).update(last_success_at=NOON)
    rotated = Webhook.objects.get(pk=webhook.pk)
    edited.name = "Books"
    save_edited(edited)
    after = Webhook.objects.get(pk=webhook.pk)
    assert (after.name, after.secret, after.last_success_at) == ("Books", rotated.secret, NOON)


def test_a_new_name_does_not_begin_the_days_of_patience_anew_a_new_address_does(team: Team, web: HttpSink) -> None:
    webhook, _ = hearing(team, web)
    Webhook.objects.filter(pk=webhook.pk).update(failing_since=NOON)
    webhook.name = "Books"
    save_edited(webhook)
    assert Webhook.objects.get().failing_since == NOON
    webhook.url = f"{web.url}/elsewhere"
    save_edited(webhook)
    assert Webhook.objects.get().failing_since is None


def test_one_that_is_made_switched_off_never_hears_anything(team: Team, run_at: Run, web: HttpSink) -> None:
    wanted = {"name": "Billing", "url": web.url, "enabled": False, "types": ["created"]}
    made = Api(team).post("webhooks/", wanted)
    assert (made.status_code, made.json()["enabled"]) == (201, False)
    assert made.json()["disabled_because"] == "Switched off by a person."
    Contact.objects.create(team=team, email="ann@example.org")
    run_at(NOON)
    assert web.requests() == []
