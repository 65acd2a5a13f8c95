"""Incoming webhooks: who is let in, what is stored, and what comes of it."""

import json
import logging
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.utils.html import strip_tags
from pytest_django import Settings

from contacts.models import Contact, FieldDefinition
from crm.models import ConsentEntry, Member, Role, Team, Topic
from crm.signatures import sign
from pipelines.engine.incoming import work_off
from pipelines.engine.tick import process_due_runs
from pipelines.models import Hook, HookDelivery, PipelineRun, StepExecution, Trigger
from pipelines.triggers.hooks import UNSIGNED, Opened, open_hook
from tests.api import Api
from tests.pipelines.engine.building import NOON, active, email
from tests.pipelines.engine.conftest import Run
from tests.project.processes import eventually
from tests.sinks.smtp import SmtpSink

ADA = {"email": "ada@example.org", "name": "Ada", "score": 7}
SIGNUP = {
    "type": "webhook", "key": "signup", "set": {"score": "{{ trigger.score }}"},
    "where": {"field": "trigger.score", "operator": "greater_than", "value": 3},
}  # fmt: skip
SCORE = [{"name": "score", "type": "number"}]


@pytest.fixture
def hook(team: Team) -> Opened:
    return opened(team)


def opened(team: Team, *, signed: bool = True, key: str = "signup", **trigger: Any) -> Opened:
    steps = [email("Your score is {{ score }}", key="hello")]
    pipeline = active(team, steps, key=key, triggers=[{**SIGNUP, **trigger}], variables=SCORE)
    fields = {"first_name": "{{ trigger.name }}"}
    return open_hook(trigger=pipeline.triggers.get(), name="Signup form", signed=signed, fields=fields)


def post(hook: Opened, body: Any = ADA, *, message_id: str = "msg_1", at: int | None = None, **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    stamp = at if at is not None else int(datetime.now(UTC).timestamp())
    given = {"webhook-id": message_id, "webhook-timestamp": str(stamp)}
    if hook.secret:
        given["webhook-signature"] = sign(secret=hook.secret, message_id=message_id, timestamp=stamp, body=raw)
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    given = {name: value for name, value in given.items() if value}
    return Client().post(f"/api/v1/hooks/{hook.token}/", raw, content_type="application/json", headers=given)


def test_who_signs_up_becomes_a_contact_enters_and_gets_the_mail(hook: Opened, run_at: Run, smtp: SmtpSink) -> None:
    assert post(hook).status_code == 202
    run_at(NOON)
    contact = Contact.objects.get()
    assert (contact.first_name, contact.email, contact.lead_source) == ("Ada", "ada@example.org", "Signup form")
    assert smtp.recipients() == ["ada@example.org"] and "Your score is 7" in str(smtp.messages()[0])
    delivery = HookDelivery.objects.get()
    assert (delivery.get_state_display(), delivery.run_id) == ("done", PipelineRun.objects.get().pk)


def test_a_contact_that_is_known_by_its_address_is_not_made_again(hook: Opened, team: Team) -> None:
    known = Contact.objects.create(team=team, email="Ada@Example.org", first_name="Augusta")
    post(hook)
    process_due_runs()
    known.refresh_from_db()
    assert (Contact.objects.count(), known.first_name) == (1, "Augusta")
    assert PipelineRun.objects.get().subject_id == known.pk


def test_a_post_fills_defined_fields_with_values_of_their_types(team: Team) -> None:
    FieldDefinition.objects.create(team=team, model="contacts.contact", key="seats", label="Seats", type="integer")
    FieldDefinition.objects.create(team=team, model="contacts.contact", key="plan", label="Plan", required=True)
    hook = opened(team)
    names = {"seats": "{{ trigger.seats }}", "custom.hat": "{{ trigger.score }}"}
    Hook.objects.update(fields={**names, "custom": {"note": "{{ trigger.name }}"}})
    post(hook, {**ADA, "seats": "12"})
    post(hook, {**ADA, "email": "bob@example.org", "seats": "a dozen"}, message_id="msg_2")
    process_due_runs()
    ada, bob = Contact.objects.order_by("pk")
    assert ada.custom == {"seats": 12, "hat": 7, "note": "Ada"}
    assert bob.email == "bob@example.org" and bob.custom == {"hat": 7, "note": "Ada"}
    assert HookDelivery.objects.get(message_id="msg_1").outcome == "entered"
    delivery = HookDelivery.objects.get(message_id="msg_2")
    assert delivery.outcome == "entered; left out seats: This is not a number." and delivery.run_id


def test_a_value_that_a_field_cannot_hold_loses_nobody(team: Team) -> None:
    hook = opened(team)
    Hook.objects.update(fields={"phone": "{{ trigger.phone }}", "first_name": "{{ trigger.name }}"})
    post(hook, {**ADA, "phone": "1" * 500})
    process_due_runs()
    contact = Contact.objects.get()
    assert (contact.first_name, contact.phone) == ("Ada", "") and PipelineRun.objects.get().subject_id == contact.pk
    assert HookDelivery.objects.get().outcome.startswith("entered; left out phone: ")


def test_what_is_no_number_is_left_out_and_told_like_any_value_that_does_not_fit(team: Team) -> None:
    hook = opened(team)
    Hook.objects.update(fields={"phone": "{{ trigger.phone }}", "first_name": "{{ trigger.name }}"})
    post(hook, {**ADA, "phone": "abc"})
    post(hook, {**ADA, "email": "bob@example.org", "phone": "+49 (0)30 1234-567"}, message_id="msg_2")
    process_due_runs()
    ada, bob = Contact.objects.order_by("pk")
    assert (ada.first_name, ada.phone, bob.phone) == ("Ada", "", "+49 (0)30 1234-567")
    outcome = HookDelivery.objects.get(message_id="msg_1").outcome
    assert outcome.startswith("entered; left out phone: This is no phone number: write it with its country")
    assert HookDelivery.objects.get(message_id="msg_2").outcome == "entered"


def test_a_mapping_that_names_no_field_of_contacts_loses_nobody(team: Team) -> None:
    hook = opened(team)
    mapping = {"first_name": "{{ trigger.name }}", "nope": 1, "company": "Acme", "tags": "vip, {{ trigger.name }}"}
    Hook.objects.update(fields=mapping)
    post(hook)
    process_due_runs()
    contact = Contact.objects.get()
    assert (contact.first_name, {tag.name for tag in contact.tags.all()}) == ("Ada", {"vip", "Ada"})
    left_out = "left out company: contacts have no such field. nope: contacts have no such field."
    assert HookDelivery.objects.get().outcome == f"entered; {left_out}"


def test_a_post_that_failed_is_taken_in_again_once_by_those_who_may(hook: Opened, team: Team) -> None:
    Trigger.objects.update(enabled=False)
    post(hook)
    process_due_runs()
    delivery = HookDelivery.objects.get()
    assert delivery.get_state_display() == "failed" and not Contact.objects.exists()
    Trigger.objects.update(enabled=True)
    address = f"/admin/pipelines/hook/{hook.hook.pk}/take-in/{delivery.pk}/"
    statuses = {}
    for role in (Role.VIEWER, Role.MEMBER, Role.MANAGER):
        user = User.objects.create_user(role, is_staff=True)
        Member.objects.create(team=team, user=user, role=role)
        client = Client()
        client.force_login(user)
        statuses[role] = client.get(address).status_code
    assert statuses == {Role.VIEWER: 404, Role.MEMBER: 404, Role.MANAGER: 200}
    assert "Take in again" in client.get(f"/admin/pipelines/hook/{hook.hook.pk}/change/").content.decode()
    assert [client.post(address).status_code for _ in range(2)] == [302, 404]
    process_due_runs()
    assert (Contact.objects.count(), PipelineRun.objects.count()) == (1, 1)
    api = Api(team)
    assert api.get("hook-deliveries/").json()["results"][0]["outcome"] == "entered"
    assert api.post(f"hook-deliveries/{delivery.pk}/take-in/").status_code == 409
    for less in (Api(team, role="member"), Api(team, scopes=["hooks:read"])):
        assert less.post(f"hook-deliveries/{delivery.pk}/take-in/").status_code == 403


def test_a_post_whose_condition_is_not_met_says_so_in_the_log(hook: Opened) -> None:
    post(hook, {**ADA, "score": 2})
    process_due_runs()
    assert not PipelineRun.objects.exists()
    assert HookDelivery.objects.get().outcome == "did not enter: conditions not met"


def test_a_contact_of_another_team_is_not_found_by_its_id(team: Team) -> None:
    other = Team.objects.create(name="Other", slug="other")
    theirs = Contact.objects.create(team=other, email="eve@example.org")
    hook = opened(team, key="by_id", subject="{{ trigger.contact_id }}")
    post(hook, {"contact_id": theirs.pk, "score": 9})
    process_due_runs()
    assert not PipelineRun.objects.exists()
    assert HookDelivery.objects.get().run_id is None


def test_a_post_that_names_nobody_fails_alone(hook: Opened) -> None:
    post(hook, {"score": 9}, message_id="a")
    post(hook, ADA, message_id="b")
    process_due_runs()
    states = {row.message_id: row.get_state_display() for row in HookDelivery.objects.all()}
    assert states == {"a": "failed", "b": "done"}
    assert "neither the id of a record nor an email address" in HookDelivery.objects.get(message_id="a").outcome


def test_f32_the_same_post_a_hundred_times_is_stored_once(hook: Opened) -> None:
    answers = [post(hook).status_code for _ in range(100)]
    assert answers == [202] + [200] * 99
    process_due_runs()
    assert (HookDelivery.objects.count(), PipelineRun.objects.count()) == (1, 1)
    assert Hook.objects.get().received_total == 1


NOW = int(NOON.timestamp())
F33 = {
    "no signature": {"webhook_signature": ""},
    "no id": {"webhook_id": ""},
    "no timestamp": {"webhook_timestamp": ""},
    "a signature of somebody else": {"webhook_signature": "v1,c29tZWJvZHkgZWxzZQ=="},
    "half a signature": {"webhook_signature": "v1,"},
    "another version": {"webhook_signature": "v2,c29tZWJvZHkgZWxzZQ=="},
    "another id": {"webhook_id": "msg_2"},
    "another timestamp": {"webhook_timestamp": str(NOW + 1)},
    "a timestamp in words": {"webhook_timestamp": "noon"},
    "a timestamp with a sign": {"webhook_timestamp": f"+{NOW}"},
    "a timestamp in other digits": {"webhook_timestamp": "１８０３９１９６００"},
    "an endless id": {"webhook_id": "x" * 500},
}


@pytest.mark.parametrize("headers", F33.values(), ids=F33)
def test_f33_a_post_that_is_not_signed_right_is_refused_without_reasons(hook: Opened, headers: dict[str, str]) -> None:
    with time_machine.travel(NOON, tick=False):
        answer = post(hook, at=NOW, **headers)
    assert answer.status_code == 401
    assert answer.json()["detail"] == UNSIGNED
    nothing_but_a_count()


@pytest.mark.parametrize("seconds", [-301, 301, -86_400, 10**9], ids=["old", "early", "a day old", "far ahead"])
def test_f33_a_post_outside_of_five_minutes_is_refused(hook: Opened, seconds: int) -> None:
    with time_machine.travel(NOON, tick=False):
        assert post(hook, at=NOW + seconds).status_code == 401
    nothing_but_a_count()


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_post_within_five_minutes_is_taken(hook: Opened, seconds: int) -> None:
    with time_machine.travel(NOON, tick=False):
        assert post(hook, at=NOW + seconds).status_code == 202


def test_f33_a_body_that_was_written_anew_does_not_fit_its_signature(hook: Opened) -> None:
    raw = json.dumps(ADA, separators=(",", ":")).encode()
    signature = sign(secret=hook.secret, message_id="msg_1", timestamp=NOW, body=raw)
    with time_machine.travel(NOON, tick=False):
        assert post(hook, json.dumps(ADA, indent=1).encode(), at=NOW, webhook_signature=signature).status_code == 401
        nothing_but_a_count()
        assert post(hook, raw, at=NOW, webhook_signature=signature).status_code == 202


def test_one_of_several_signatures_is_enough_while_a_secret_is_changed(hook: Opened) -> None:
    right = sign(secret=hook.secret, message_id="msg_1", timestamp=NOW, body=json.dumps(ADA).encode())
    with time_machine.travel(NOON, tick=False):
        assert post(hook, at=NOW, webhook_signature=f"v1,b2xk {right}").status_code == 202


def nothing_but_a_count() -> None:
    assert Hook.objects.get().refused_total == 1
    assert not HookDelivery.objects.exists() and not Contact.objects.exists()


BODIES = {
    "no JSON": (b"name=Ada", 400),
    "nothing": (b"", 400),
    "a list": (b"[]", 400),
    "too deep": (b'{"a":' * 30 + b"1" + b"}" * 30, 400),
    "far too deep": (b"[" * 100_000, 400),
    "a NUL": (b'{"a": "\\u0000"}', 400),
    "half a character": (b'{"a": "\\ud800"}', 400),
    "an endless number": (b'{"a": 1e999}', 400),
    "not a number": (b'{"a": NaN}', 400),
    "a number without end": (b'{"a": ' + b"9" * 10_000 + b"}", 400),
    "no text": (b'{"a": "\xff"}', 400),
    "too large": (b'{"a": "' + b"x" * 300_000 + b'"}', 413),
}


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
def test_bodies_that_cannot_be_stored_are_refused(hook: Opened, body: bytes, status: int) -> None:
    assert post(hook, body).status_code == status
    assert not HookDelivery.objects.exists()


def test_an_unsigned_address_must_be_chosen_and_warns(team: Team) -> None:
    hook = opened(team, signed=False)
    assert post(hook, message_id="").status_code == 202
    owner = User.objects.create_user("owner", is_staff=True)
    Member.objects.create(team=team, user=owner, role=Role.OWNER)
    client = Client()
    client.force_login(owner)
    page = client.get(f"/admin/pipelines/hook/{hook.hook.pk}/change/").content.decode()
    assert "Posts are not signed" in page and hook.token not in page


def test_an_address_nobody_opened_and_one_that_was_closed_answer_alike(hook: Opened) -> None:
    Hook.objects.update(enabled=False)
    closed = post(hook)
    never = Client().post("/api/v1/hooks/crmh_nothing/", b"{}", content_type="application/json")
    assert closed.status_code == never.status_code == 404 and closed.content == never.content
    assert Client().get(f"/api/v1/hooks/{hook.token}/").status_code == 405


def test_who_posts_too_much_is_asked_to_wait(hook: Opened, settings: Settings) -> None:
    rates = {**settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "hooks": "2/min"}
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}
    with time_machine.travel(NOON, tick=False):
        answers = [post(hook, message_id=str(n)) for n in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert int(answers[2]["Retry-After"]) > 0


def test_neither_address_nor_secret_nor_body_reach_the_logs(hook: Opened, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    post(hook, webhook_signature="v1,wrong")
    post(hook, b"nonsense-body")
    post(hook)
    process_due_runs()
    for word in (hook.token, hook.secret, "nonsense-body", "ada@example.org"):
        assert word not in caplog.text


def test_the_secret_is_stored_sealed_and_opens_with_the_next_key_too(hook: Opened, settings: Settings) -> None:
    assert hook.secret not in Hook.objects.get().secret
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "n" * 60
    assert post(hook).status_code == 202


def test_a_person_opens_one_sees_address_and_secret_once_and_tries_it(team: Team) -> None:
    pipeline = active(team, [email()], triggers=[SIGNUP], variables=SCORE)
    owner = User.objects.create_user("owner", is_staff=True)
    Member.objects.create(team=team, user=owner, role=Role.OWNER)
    client = Client()
    client.force_login(owner)
    offered = client.get("/admin/pipelines/hook/add/").context["adminform"].form["fields_of_new"].value()
    form = {"name": "Form", "trigger": pipeline.triggers.get().pk, "signed": "on", "fields_of_new": offered}
    page = client.post("/admin/pipelines/hook/add/", form).content.decode()
    assert "/api/v1/hooks/crmh_" in page and "whsec_" in page
    hook = Hook.objects.get()
    body = json.dumps({**ADA, "first_name": "Augusta"})
    page = client.post(f"/admin/pipelines/hook/{hook.pk}/test/", {"body": body}, follow=True).content.decode()
    assert "Received; entered." in page
    log = " ".join(strip_tags(page.partition('id="deliveries"')[2].partition("</table>")[0]).split())
    assert "done entered" in log and "ada@example.org" in unescape(log)
    contact = Contact.objects.get()
    assert (contact.email, contact.first_name, contact.last_name) == ("ada@example.org", "Augusta", "")
    old = Hook.objects.get().token_hash
    assert "whsec_" in client.post(f"/admin/pipelines/hook/{hook.pk}/renew/").content.decode()
    assert Hook.objects.get().token_hash != old


def test_a_mapping_is_refused_where_it_names_no_field_of_contacts(team: Team) -> None:
    FieldDefinition.objects.create(team=team, model="contacts.contact", key="seats", label="Seats", type="integer")
    pipeline = active(team, [email()], triggers=[SIGNUP], variables=SCORE)
    owner = User.objects.create_user("owner", is_staff=True)
    Member.objects.create(team=team, user=owner, role=Role.OWNER)
    client = Client()
    client.force_login(owner)
    form = {"name": "Form", "trigger": pipeline.triggers.get().pk, "signed": "on"}
    wrong = json.dumps({"frist_name": "{{ trigger.name }}", "seats": "{{ trigger.seats }}"})
    page = unescape(client.post("/admin/pipelines/hook/add/", {**form, "fields_of_new": wrong}).content.decode())
    assert "frist_name: contacts have no such field." in page and "did you mean 'first_name'?" in page
    assert wrong.replace('"', "&quot;") in page or wrong in page, "what was written stands there still"
    assert not Hook.objects.exists() and "seats: contacts" not in page
    right = json.dumps({"seats": "{{ trigger.seats }}", "custom.hat": "1", "tags": "new"})
    client.post("/admin/pipelines/hook/add/", {**form, "fields_of_new": right})
    assert Hook.objects.get().fields == json.loads(right)


@pytest.mark.parametrize("signed", ["on", ""])
def test_the_command_shown_to_try_it_out_posts_what_is_taken(team: Team, tmp_path: Path, signed: str) -> None:
    pipeline = active(team, [email()], triggers=[SIGNUP], variables=SCORE)
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    form = {"name": "Form", "trigger": pipeline.triggers.get().pk, "signed": signed, "fields_of_new": ""}
    page = client.post("/admin/pipelines/hook/add/", form).content.decode()
    shown = unescape(page.partition('id="hook-try">')[2].partition("</pre>")[0])
    # Instead of the call, what it would be called with.
    script = 'curl() { printf "%s\\n" "$@"; }\n' + shown
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    headers = dict(word.split(": ", 1) for option, word in pairwise(words) if option == "-H")
    body = words[words.index("-d") + 1]
    path = words[-1].removeprefix("http://testserver")
    headers.pop("Content-Type")
    answer = client.post(path, body, content_type="application/json", headers=headers)
    assert answer.status_code == 202, answer.content


def test_a_member_may_not_open_one(team: Team) -> None:
    member = User.objects.create_user("member", is_staff=True)
    Member.objects.create(team=team, user=member, role=Role.MEMBER)
    client = Client()
    client.force_login(member)
    assert client.get("/admin/pipelines/hook/add/").status_code == 403


def test_who_signs_up_for_a_topic_that_asks_is_sent_nothing_before_the_answer(
    hook: Opened, team: Team, run_at: Run, smtp: SmtpSink
) -> None:
    Topic.objects.create(team=team, key="marketing", name="News", confirm=True)
    Hook.objects.update(topic="marketing")
    post(hook, {**ADA, "consent": "Send me news."})
    run_at(NOON)
    run_at(NOON)
    (mail,) = smtp.messages()
    assert mail["Subject"] == "Please confirm: News"
    assert "has not confirmed" in str(StepExecution.objects.exclude(error=None).exclude(error="").get().error)
    asked = ConsentEntry.objects.get()
    assert (asked.address, asked.how, asked.wording) == ("ada@example.org", "webhook Signup form", "Send me news.")


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_two_workers_make_one_contact_of_one_new_address(team: Team) -> None:
    first, second = opened(team), opened(team, key="purchase")
    post(first)

    def work() -> None:
        try:
            post(second, {**ADA, "email": "ADA@example.org"})
            work_off(now=NOON)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(), connection.cursor() as cursor:
            work_off(now=NOON)
            working = pool.submit(work)

            def it_waits() -> bool:
                cursor.execute("SELECT count(*) FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
                return bool(cursor.fetchone()[0])

            eventually(it_waits)
        working.result()
    assert Contact.objects.count() == 1 and PipelineRun.objects.count() == 2
