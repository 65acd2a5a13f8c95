"""Runs are told in sentences, and operators stop and start them."""

import html
import re
from collections.abc import Sequence
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from contacts.models import Contact
from crm.models import AuditEntry, Team
from crm.teams import create_team
from pipelines.engine.clock import set_test_clock
from pipelines.engine.controls import cancel_runs
from pipelines.engine.enroll import enroll
from pipelines.engine.tick import run_until_idle
from pipelines.models import EnrollmentDecision, Pipeline, PipelineRun
from pipelines.states import RunStatus
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.admin.pages import PIPELINE, RUN, text_of
from tests.pipelines.engine.building import NOON, active, email, later

GOOD = "ann@example.org"


@pytest.fixture(autouse=True)
def noon(db: None, settings: Settings) -> None:
    settings.DEBUG = True
    settings.PIPELINES_TEST_CLOCK = True
    set_test_clock(NOON)


def ann(team: Team, **more: Any) -> Contact:
    return Contact.objects.create(team=team, **{"first_name": "Ann", "email": "ann@example.org", **more})


def story(client: Client, run: PipelineRun) -> str:
    answer = client.get(f"{RUN}{run.pk}/change/")
    assert answer.status_code == 200
    return text_of(answer)


def selected(verb: str, runs: Sequence[PipelineRun], **more: str) -> dict[str, Any]:
    return {"action": f"{verb}_selected", "_selected_action": [str(run.pk) for run in runs], **more}


def test_who_was_chosen_entered_by_hand(viewer: Client, team: Team) -> None:
    pipeline = active(team, [email()], triggers=[{"key": "hand", "type": "manual"}])
    (run,) = enroll(pipeline=pipeline, subject_ids=[ann(team).pk]).enrolled
    assert "Entered by hand or through the API with version 1." in story(viewer, PipelineRun.objects.get(pk=run))


def test_who_is_ended_while_waiting_for_a_step_has_not_done_it(viewer: Client, team: Team) -> None:
    active(team, [email(name="Greeting"), {"name": "Pause", "type": "wait", "delay": "2d"}])
    ann(team)
    run_until_idle(now=NOON)
    run = PipelineRun.objects.get()
    cancel_runs(run_ids=[run.pk])
    told = story(viewer, run)
    assert "Ended before Pause" in told and "Last step" not in told
    ann(team, first_name="Bo", email="bo@example.org")
    run_until_idle(now=NOON)
    run_until_idle(now=later(days=3))
    assert "Last step Pause" in story(viewer, PipelineRun.objects.latest("pk"))


def test_the_story_says_what_happened_and_why(viewer: Client, team: Team) -> None:
    rule = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "lead"}
    active(
        team,
        [
            {"name": "Greeting", **email(subject="Welcome")},
            {"name": "Pause", "type": "wait", "delay": "2d"},
            {"name": "Lead?", "type": "condition", "if": rule, "on": {"true": "call", "false": "end"}},
            {"key": "call", "name": "Call", "type": "create_task", "with": {"title": "Call {{ contact.first_name }}"}},
            {"key": "mark", "name": "Mark", "type": "update_record", "with": {"values": {"lead_source": "Web"}}},
            {"key": "count", "name": "Count", "type": "set_variable", "with": {"tries": 3}},
            {"key": "later", "name": "Later", **email(subject="Later"), "delay": "1w"},
        ],
        variables=[{"name": "tries", "type": "number"}],
    )
    ann(team, lifecycle_stage="lead")
    run_until_idle(now=NOON)
    run_until_idle(now=later(days=2))
    run = PipelineRun.objects.get()
    told = story(viewer, run)
    assert "Sent ‘Welcome’ to ann@example.org — accepted by the mail server." in told
    assert "contact.lifecycle_stage equals lead → yes" in told
    assert "The condition was met, so it went on to ‘Call’." in told
    assert "Created the task ‘Call Ann’ , which is open." in told
    assert "Set lead_source to Web ." in told or "Set lead_source to Web." in told
    assert "Remembered tries to 3" in told
    assert "Waits until Wed 10 Mar 2027, 12:00 and then enters ‘Later’." in told
    assert "Comes next, in 1 week." in told and "tries" in told


def test_the_story_says_why_a_run_failed_and_when_it_ended(viewer: Client, team: Team) -> None:
    step = email()
    step["with"]["to"] = "nobody"
    active(team, [step])
    ann(team)
    run_until_idle(now=NOON)
    told = story(viewer, PipelineRun.objects.get())
    assert "The email address is not valid." in told and "the run failed here" in told
    assert "Failed" in told and "Mon 1 Mar 2027, 12:00" in told


def test_the_story_says_which_branch_failed_at_which_step_and_why(viewer: Client, team: Team) -> None:
    adds = {"key": "charge", "type": "set_variable", "with": {"sum": "= sum + 1"}}
    fork = {"key": "fork", "type": "parallel", "with": {"branches": [{"name": "bad", "steps": [adds]}]}}
    active(team, [fork], variables=[{"name": "sum", "type": "number"}])
    ann(team)
    run_until_idle(now=NOON)
    told = story(viewer, PipelineRun.objects.get(parent=None))
    # Beside where it stands, and in the timeline.
    assert told.count("The branch bad failed at charge: sum: expected a number, got nothing") == 2


def test_the_story_says_that_there_was_no_address_to_send_to(viewer: Client, team: Team) -> None:
    active(team, [email()])
    ann(team, email="")
    run_until_idle(now=NOON)
    told = story(viewer, PipelineRun.objects.get())
    assert "Skipped." in told and "Not sent: there is no email address." in told


def test_a_skipped_step_says_what_was_not_met(viewer: Client, team: Team) -> None:
    active(team, [{**email(), "if": {"field": "contact.last_name", "operator": "equals", "value": "Lee"}}])
    ann(team, last_name="Doe")
    run_until_idle(now=NOON)
    told = story(viewer, PipelineRun.objects.get())
    assert "Skipped, because its condition was not met." in told
    assert "contact.last_name equals Lee → no , it was Doe" in told


def test_the_list_shows_where_runs_stand_and_finds_them(viewer: Client, team: Team, welcome: Pipeline) -> None:
    ann(team)
    ann(team, first_name="Ben", email="ben@example.org")
    run_until_idle(now=NOON)
    page = text_of(viewer.get(RUN))
    assert "Ann" in page and "pending" in page and "in 1 day" in page
    assert "Ben" not in text_of(viewer.get(RUN, {"q": "ann@example.org"}))
    step = welcome.steps.get(key="again")
    narrowed: dict[str, Any] = {"pipeline__id__exact": welcome.pk, "step": step.pk, "state": "waiting"}
    assert "2 runs" in text_of(viewer.get(RUN, narrowed))
    assert "0 runs" in text_of(viewer.get(RUN, {"state": "late"}))
    set_test_clock(later(days=1, minutes=3))
    assert "2 runs" in text_of(viewer.get(RUN, {"state": "late"}))
    assert "late" in text_of(viewer.get(RUN))


def test_nobody_writes_a_run_here(sign_in: SignIn, team: Team, welcome: Pipeline) -> None:
    ann(team)
    run, owner = PipelineRun.objects.get(), sign_in("owner")
    assert owner.get(f"{RUN}add/").status_code == 403
    assert owner.post(f"{RUN}{run.pk}/change/", {"status": 4}).status_code == 403
    assert owner.post(f"{RUN}{run.pk}/delete/", {"post": "yes"}).status_code == 403
    assert owner.get(f"/admin/pipelines/pipelineversion/{run.version_id}/change/").status_code == 200
    assert owner.post(f"/admin/pipelines/pipelineversion/{run.version_id}/change/", {"note": "x"}).status_code == 403


def test_an_operator_pauses_resumes_and_cancels_one_run(manager: Client, team: Team, welcome: Pipeline) -> None:
    ann(team)
    run = PipelineRun.objects.get()
    for verb, status in (("pause", "PAUSED"), ("resume", "PENDING"), ("cancel", "CANCELLED")):
        before = run.status
        assert "?" in text_of(manager.get(f"{RUN}{run.pk}/{verb}/"))
        run.refresh_from_db()
        assert run.status == before
        assert manager.post(f"{RUN}{run.pk}/{verb}/", {}).status_code == 302
        run.refresh_from_db()
        assert run.status == RunStatus[status]
    assert manager.post(f"{RUN}{run.pk}/cancel/", {}).status_code == 404
    assert AuditEntry.objects.filter(action__startswith="pipeline-runs.").count() == 3


def test_a_failed_run_is_tried_again_once_its_cause_is_mended(manager: Client, team: Team, mailoutbox: Any) -> None:
    step = email()
    step["with"]["to"] = "{{ contact.last_name }}"
    active(team, [step])
    contact = ann(team, last_name="nobody")
    run_until_idle(now=NOON)
    run = PipelineRun.objects.get()
    assert run.status == RunStatus.FAILED
    Contact.objects.filter(pk=contact.pk).update(last_name="ann@example.org")
    manager.post(f"{RUN}{run.pk}/retry/", {})
    run_until_idle(now=later(hours=1))
    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED and [mail.to for mail in mailoutbox] == [["ann@example.org"]]


def test_a_run_is_replayed_from_a_step_and_sends_again_only_if_somebody_says_so(
    manager: Client, team: Team, mailoutbox: Any
) -> None:
    active(team, [email(key="hello"), {"key": "rest", "type": "wait", "delay": "2d"}])
    ann(team)
    run_until_idle(now=NOON)
    run = PipelineRun.objects.get()
    path, wanted = f"{RUN}{run.pk}/replay/", {"step": "hello", "mode": "in_place"}
    assert path in manager.get(f"{RUN}{run.pk}/change/").content.decode()
    assert "This sends again: hello." in text_of(manager.post(path, wanted))
    run_until_idle(now=later(minutes=1))
    assert len(mailoutbox) == 1
    page = text_of(manager.post(path, {**wanted, "confirm": "on"}, follow=True))
    assert "The run goes on from ‘hello’." in page
    run_until_idle(now=later(minutes=2))
    assert len(mailoutbox) == 2 and PipelineRun.objects.count() == 1
    manager.post(path, {"step": "hello", "mode": "clone", "confirm": "on"})
    run_until_idle(now=later(minutes=3))
    assert len(mailoutbox) == 3 and PipelineRun.objects.count() == 2
    assert AuditEntry.objects.filter(action="pipeline-runs.replayed").count() == 2


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "retry", "replay"])
def test_a_viewer_and_a_stranger_stop_nothing(
    sign_in: SignIn, viewer: Client, team: Team, welcome: Pipeline, verb: str
) -> None:
    ann(team)
    run = PipelineRun.objects.get()
    stranger = sign_in("owner", of=create_team(name="Other", slug="other"))
    assert viewer.post(f"{RUN}{run.pk}/{verb}/", {}).status_code == 403
    assert stranger.post(f"{RUN}{run.pk}/{verb}/", {}).status_code == 404
    assert stranger.get(f"{RUN}{run.pk}/change/").status_code == 302
    for client in (viewer, stranger):
        client.post(RUN, selected(verb, [run], confirmed="yes"))
    run.refresh_from_db()
    assert run.status == RunStatus.PENDING


def test_many_runs_are_stopped_after_one_question(manager: Client, team: Team, welcome: Pipeline) -> None:
    for number in range(3):
        ann(team, email=f"ann{number}@example.org")
    runs = list(PipelineRun.objects.order_by("pk"))
    manager.post(f"{RUN}{runs[0].pk}/pause/", {})
    question = text_of(manager.post(RUN, selected("pause", runs)))
    assert "Pause 2 runs?" in question and "1 of the selected runs cannot be paused" in question
    assert PipelineRun.objects.filter(status=RunStatus.PAUSED).count() == 1
    answer = manager.post(RUN, selected("pause", runs, confirmed="yes"), follow=True)
    assert "2 runs were paused." in text_of(answer)
    assert PipelineRun.objects.filter(status=RunStatus.PAUSED).count() == 3
    answer = manager.post(RUN, selected("cancel", runs[:1], confirmed="yes", select_across="1"), follow=True)
    assert PipelineRun.objects.filter(status=RunStatus.CANCELLED).count() == 3
    assert "None of these runs can be retried." in text_of(manager.post(RUN, selected("retry", runs), follow=True))


def test_who_did_not_enter_is_listed_with_the_reason(viewer: Client, sign_in: SignIn, team: Team) -> None:
    where = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "lead"}
    created = {"type": "created", "model": "contacts.contact", "automatic": True, "where": where}
    active(team, [email()], triggers=[created])
    ann(team, lifecycle_stage="customer")
    assert EnrollmentDecision.objects.count() == 1
    address = "/admin/pipelines/enrollmentdecision/"
    page = text_of(viewer.get(address))
    assert "conditions not met" in page and "contact.lifecycle_stage equals lead → no , it was customer" in page
    stranger = sign_in("owner", of=create_team(name="Other", slug="other"))
    assert "0 enrollment decisions" in text_of(stranger.get(address))


def test_lists_cost_the_same_with_few_runs_and_many(
    viewer: Client, team: Team, welcome: Pipeline, django_assert_max_num_queries: Any
) -> None:
    where = {"field": "contact.first_name", "operator": "equals", "value": "Nobody"}
    never = {"type": "created", "model": "contacts.contact", "automatic": True, "where": where}
    active(team, [email()], key="never", triggers=[never])
    for number in range(30):
        ann(team, email=f"ann{number}@example.org")
    run_until_idle(now=NOON)
    for address, most in ((RUN, 16), ("/admin/pipelines/enrollmentdecision/", 14), ("/admin/pipelines/pipeline/", 12)):
        with django_assert_max_num_queries(most):
            assert viewer.get(address).status_code == 200
    run = PipelineRun.objects.latest("pk")
    with django_assert_max_num_queries(17):
        viewer.get(f"{RUN}{run.pk}/change/")


def test_all_that_failed_with_one_error_is_tried_again_after_its_number_was_read(
    manager: Client, viewer: Client, sign_in: SignIn, team: Team
) -> None:
    mail, second = email(key="mail", name="Greet"), email(key="second")
    mail["with"]["to"], second["with"]["to"] = "{{ contact.last_name }}", "{{ contact.job_title }}"
    branches = [{"name": "one", "steps": [mail, second]}]
    pipeline = active(team, [{"key": "both", "type": "parallel", "with": {"branches": branches}}])
    for number, (first, then) in enumerate([("nobody", GOOD), ("nobody", GOOD), (GOOD, "nobody")]):
        ann(team, last_name=first, job_title=then, email=f"{number}@example.org")
    run_until_idle(now=NOON)
    address = f"{RUN}failures/{pipeline.pk}/"

    assert f'href="{address}"' in viewer.get(f"{PIPELINE}{pipeline.pk}/change/").content.decode()
    assert "Try all again" not in text_of(viewer.get(address))
    links = [
        html.unescape(each) for each in re.findall(r'href="([^"]*/retry/[^"]*)"', manager.get(address).content.decode())
    ]
    assert [each.partition("?error=")[0] for each in links] == [f"{address}mail/retry/", f"{address}second/retry/"]
    assert (
        viewer.post(links[0]).status_code
        == 404
        == sign_in("owner", of=create_team(name="B", slug="b")).get(address).status_code
    )
    said = text_of(manager.get(links[0]))
    assert "Try 2 runs again?" in said and "2 runs have failed at “Greet” with “" in said
    assert PipelineRun.objects.filter(status=RunStatus.FAILED, parent=None).count() == 3

    Contact.objects.update(last_name=GOOD)
    assert "2 runs try again." in text_of(manager.post(links[0], follow=True))
    run_until_idle(now=later(hours=1))
    left = PipelineRun.objects.filter(parent=None).values_list("status", flat=True).order_by("id")
    assert list(left) == [RunStatus.COMPLETED, RunStatus.COMPLETED, RunStatus.FAILED]
    assert AuditEntry.objects.get(action="pipeline-runs.retried").details["runs"] == 2
    assert manager.get(links[0]).status_code == 404


def test_the_pages_say_whose_record_came_in_again_and_retry_the_others(manager: Client, team: Team) -> None:
    mail = email(key="mail")
    mail["with"]["to"] = "{{ contact.last_name }}"
    pipeline = active(team, [mail])
    people = [ann(team, last_name="nobody", email=f"{number}@example.org") for number in range(2)]
    run_until_idle(now=NOON)
    first, second = PipelineRun.objects.order_by("pk")
    Contact.objects.update(last_name=GOOD)
    (since,) = enroll(pipeline=pipeline, subject_ids=[people[0].pk]).enrolled
    one = text_of(manager.get(f"{RUN}{first.pk}/retry/", follow=True))
    assert f"The record came in again since, in run {since}" in one
    told = f"1 of them stays as it is: its record came in again since, in run {since}."
    address = f"{RUN}failures/{pipeline.pk}/mail/retry/"
    for said in (manager.post(RUN, selected("retry", [first, second])), manager.get(address)):
        assert told in text_of(said)
    assert told in text_of(manager.post(RUN, selected("retry", [first, second], confirmed="yes"), follow=True))
    assert [PipelineRun.objects.get(pk=run.pk).status for run in (first, second)] == [RunStatus.FAILED, 0]
    assert "Nothing to try again." in text_of(manager.get(address, follow=True))


@pytest.mark.parametrize("at_once", [1, 2])
def test_of_two_runs_of_a_record_the_newest_goes_on_however_many_are_looked_at_at_once(
    at_once: int, manager: Client, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.admin.run_buttons.AT_ONCE", at_once)
    mail = email(key="mail")
    mail["with"]["to"] = "{{ contact.last_name }}"
    pipeline = active(team, [mail])
    person = ann(team, last_name="nobody")
    run_until_idle(now=NOON)
    enroll(pipeline=pipeline, subject_ids=[person.pk])
    run_until_idle(now=NOON)
    first, second = PipelineRun.objects.order_by("pk")
    assert [first.status, second.status] == [RunStatus.FAILED, RunStatus.FAILED]

    told = f"1 of them stays as it is: its record came in again since, in run {second.pk}."
    assert told in text_of(manager.post(RUN, selected("retry", [first, second])))
    said = text_of(manager.post(RUN, selected("retry", [first, second], confirmed="yes"), follow=True))
    assert "1 run was retried." in said and told in said
