"""The history of a pipeline, what changed, the way back, and the question before people are moved."""

from typing import Any

import pytest
from django.test import Client

from contacts.models import Contact
from crm.models import AuditEntry, MessageTemplate, Task, Team
from crm.teams import create_team
from pipelines.engine.tick import process_due_runs
from pipelines.models import Pipeline, PipelineRun
from pipelines.operations import update_document
from pipelines.states import RunStatus
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.admin.pages import PIPELINE, RUN, form_of, text_of
from tests.pipelines.engine.building import NOON, active, document, email

pytestmark = pytest.mark.django_db


def versions(pipeline: Pipeline, more: str = "") -> str:
    return f"{PIPELINE}{pipeline.pk}/versions/{more}"


@pytest.fixture
def waiting(team: Team) -> Pipeline:
    """A mail after an hour and another a day later; one contact waits for the first."""
    pipeline = active(team, [email(key="hello", delay=3_600), email(key="again", delay="1d")])
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    return pipeline


def shorter(pipeline: Pipeline) -> None:
    """A second version without the first mail."""
    update_document(pipeline=pipeline, document=document([email("Hi", key="again", delay="2d")]))


def test_the_history_says_who_published_what_and_how_many_are_on_each(manager: Client, waiting: Pipeline) -> None:
    shorter(waiting)
    told = text_of(manager.get(versions(waiting)))
    assert "Version 2 current" in told and "Version 1" in told and "Go back to this" in told


def test_two_versions_are_compared_in_words_and_as_a_picture(viewer: Client, waiting: Pipeline) -> None:
    shorter(waiting)
    answer = viewer.get(versions(waiting, "difference/?from=1&to=2"))
    told, html = text_of(answer), answer.content.decode()
    assert "removed Step “Send email” hello" in told and "wait 1 day → 2 days" in told
    assert "pp-step pp-removed" in html and "pp-step pp-changed" in html
    assert "They are the same." in text_of(viewer.get(versions(waiting, "difference/?from=2&to=draft")))
    assert viewer.get(versions(waiting, "difference/?from=1&to=9")).status_code == 404


def test_going_back_is_previewed_and_publishes_the_old_document_again(manager: Client, waiting: Pipeline) -> None:
    shorter(waiting)
    asked = text_of(manager.get(versions(waiting, "1/back/")))
    assert "Go back to version 1?" in asked and "Step “Send email” added." in asked
    assert waiting.versions.count() == 2
    answer = manager.post(versions(waiting, "1/back/"), {"policy": "follow"}, follow=True)
    assert "Published as version 3." in text_of(answer) and "Back to version 1" in text_of(answer)
    waiting.refresh_from_db()
    assert waiting.current_version is not None
    assert waiting.current_version.document == waiting.versions.get(number=1).document
    assert AuditEntry.objects.filter(action="pipeline.roll_back", details__to=1).exists()


def test_the_word_that_somebody_gives_for_going_back_stands_in_the_history(manager: Client, waiting: Pipeline) -> None:
    shorter(waiting)
    asked = manager.get(versions(waiting, "1/back/")).content.decode()
    assert 'name="note"' in asked and 'name="force"' not in asked
    manager.post(versions(waiting, "1/back/"), {"policy": "follow", "note": "The offer was wrong"})
    assert "Back to version 1: The offer was wrong" in text_of(manager.get(versions(waiting)))


def test_a_version_that_cannot_run_any_more_is_refused_with_what_is_missing(manager: Client, team: Team) -> None:
    template = MessageTemplate.objects.create(team=team, key="once", name="Once", subject="Hi", text="Hi")
    pipeline = active(team, [{"type": "send_email", "key": "a", "with": {"template": "once"}}])
    update_document(pipeline=pipeline, document=document([email(key="a")]))
    template.delete()
    asked = manager.get(versions(pipeline, "1/back/"))
    assert "there is no message template 'once'" in text_of(asked) and "cannot be published" in text_of(asked)
    assert "pl-button-primary" not in asked.content.decode()
    refused = text_of(manager.post(versions(pipeline, "1/back/"), {"policy": "follow"}, follow=True))
    assert "Not done:" in refused and "there is no message template 'once'" in refused
    assert "see the list on this page" not in refused and pipeline.versions.count() == 2


def test_what_was_never_published_is_shown_before_it_is_lost(manager: Client, waiting: Pipeline) -> None:
    shorter(waiting)
    Pipeline.objects.update(auto_publish=False)
    waiting.refresh_from_db()
    draft = document([email("Hi", key="again", delay="2d"), {"type": "wait", "key": "rest", "name": "Rest"}])
    update_document(pipeline=waiting, document=draft)
    asked = text_of(manager.get(versions(waiting, "1/back/")))
    assert "never published and is lost" in asked and "Step “Rest” added." in asked


def test_a_draft_is_dropped_for_the_version_that_runs_and_nobody_notices(manager: Client, waiting: Pipeline) -> None:
    Pipeline.objects.update(auto_publish=False)
    waiting.refresh_from_db()
    update_document(pipeline=waiting, document=document([email("Hi", key="again", delay="2d")]))
    assert versions(waiting, "1/back/") in manager.get(versions(waiting)).content.decode()
    asked = text_of(manager.get(versions(waiting, "1/back/")))
    assert "Drop what was not published?" in asked and "never published and is lost" in asked
    assert "Who is on the way" not in asked and "Step “Send email” hello removed." not in asked
    answer = manager.post(versions(waiting, "1/back/"), follow=True)
    assert "The pipeline is as version 1 has it again." in text_of(answer)
    assert waiting.versions.count() == 1 and waiting.steps.filter(archived_at=None).count() == 2
    assert versions(waiting, "1/back/") not in manager.get(versions(waiting)).content.decode()
    assert manager.get(versions(waiting, "1/back/")).status_code == 404


def test_what_may_surprise_is_told_before_it_is_published(manager: Client, team: Team) -> None:
    pipeline = active(team, [email(key="hello")])
    lost = [email(key="hello", next="end"), email(key="again")]
    update_document(pipeline=pipeline, document=document(lost), draft=True)
    asked = text_of(manager.get(f"{PIPELINE}{pipeline.pk}/publish/"))
    assert "This may surprise you Step 2 — no step leads to 'again'" in asked
    assert "Nobody is on the way." in asked


def test_who_may_not_publish_cannot_go_back(viewer: Client, sign_in: SignIn, waiting: Pipeline) -> None:
    shorter(waiting)
    stranger = sign_in("owner", of=create_team(name="Other", slug="other"))
    for client in (viewer, stranger):
        assert client.get(versions(waiting, "1/back/")).status_code in (302, 404)
        assert client.post(versions(waiting, "1/back/"), {"policy": "follow"}).status_code in (302, 404)
    assert stranger.get(versions(waiting)).status_code in (302, 404)
    assert waiting.versions.count() == 2


def edited(client: Client, pipeline: Pipeline) -> dict[str, str]:
    """The form of the page with the first step taken out."""
    values = form_of(client.get(f"{PIPELINE}{pipeline.pk}/change/"))
    return {**values, "steps-0-DELETE": "on"}


def test_a_save_that_moves_people_asks_first_and_keeps_nothing_until_answered(
    manager: Client, waiting: Pipeline
) -> None:
    asked = manager.post(f"{PIPELINE}{waiting.pk}/change/", edited(manager, waiting))
    told = text_of(asked)
    assert "People are on the way: save and publish?" in told
    assert "they are passed on to “again”" in told and "1 are passed on" in told
    assert waiting.versions.count() == 1 and waiting.steps.filter(archived_at=None).count() == 2


@pytest.mark.parametrize(
    ("policy", "count", "step"), [("follow", 2, "again"), ("pin", 2, "hello"), ("later", 1, "hello")]
)
def test_the_answer_is_carried_out(manager: Client, waiting: Pipeline, policy: str, count: int, step: str) -> None:
    answer = manager.post(f"{PIPELINE}{waiting.pk}/change/", {**edited(manager, waiting), "policy": policy})
    assert answer.status_code == 302
    run = PipelineRun.objects.get()
    assert run.step is not None and run.step.key == step
    assert (waiting.versions.count(), waiting.steps.filter(archived_at=None).count()) == (count, 1)


def test_a_save_that_moves_nobody_is_published_without_a_question(manager: Client, waiting: Pipeline) -> None:
    values = form_of(manager.get(f"{PIPELINE}{waiting.pk}/change/"))
    answer = manager.post(f"{PIPELINE}{waiting.pk}/change/", {**values, "steps-0-name": "Greeting"})
    assert answer.status_code == 302 and waiting.versions.count() == 2


def test_the_page_of_a_run_shows_the_way_it_went(manager: Client, waiting: Pipeline) -> None:
    run = PipelineRun.objects.get()
    html = manager.get(f"{RUN}{run.pk}/change/").content.decode()
    assert "pp-step pp-now" in html and "pp-way pp-taken" in html and "pp-step pp-untaken" in html


def test_the_list_draws_every_pipeline_in_the_same_number_of_statements(
    manager: Client, team: Team, waiting: Pipeline, django_assert_max_num_queries: Any
) -> None:
    for number in range(5):
        active(team, [email(), email(delay="1d")], key=f"more_{number}")
    with django_assert_max_num_queries(20):
        html = manager.get(PIPELINE).content.decode()
    assert html.count('class="pp pp-small') == 6


def test_a_new_step_is_offered_to_those_who_have_passed_it(manager: Client, team: Team) -> None:
    pipeline = active(team, [{"type": "wait", "key": "one"}, email(key="last", delay="1d")])
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    process_due_runs()
    task: dict[str, Any] = {"type": "create_task", "key": "ask", "name": "Ask", "with": {"title": "Ask"}}
    Pipeline.objects.update(auto_publish=False)
    pipeline.refresh_from_db()
    first, last = {"type": "wait", "key": "one"}, email(key="last", delay="1d")
    update_document(pipeline=pipeline, document=document([first, task, last]))
    published = manager.post(f"{PIPELINE}{pipeline.pk}/publish/", {"policy": "follow"}, follow=True)
    assert "1 person on the way has passed “Ask” already and skips it." in text_of(published)
    address = f"{PIPELINE}{pipeline.pk}/backfill/ask/"
    assert "The one who is on the way" in text_of(manager.get(address))
    assert Task.objects.count() == 0
    manager.post(address, {"choice": "live"})
    process_due_runs()
    assert Task.objects.get().title == "Ask"
    assert manager.get(f"{PIPELINE}{pipeline.pk}/backfill/nothing/").status_code == 404


def test_a_new_step_can_still_be_given_later_from_what_changed(
    manager: Client, viewer: Client, waiting: Pipeline
) -> None:
    ask: dict[str, Any] = {"type": "create_task", "key": "ask", "name": "Ask", "with": {"title": "Ask"}}
    steps = [ask, email(key="hello", delay=3_600), email(key="again", delay="1d")]
    update_document(pipeline=waiting, document=document(steps))
    address = f"{PIPELINE}{waiting.pk}/backfill/ask/"
    changed = versions(waiting, "difference/?from=1&to=2")
    assert address in manager.get(changed).content.decode()
    assert address not in viewer.get(changed).content.decode()
    assert "backfill" not in manager.get(versions(waiting, "difference/?from=2&to=1")).content.decode()
    PipelineRun.objects.update(status=RunStatus.COMPLETED, reason="end", finished_at=NOON, next_step_at=None)
    through = text_of(manager.get(address))
    assert "The one who is through it already" in through and "on the way" not in through
    PipelineRun.objects.all().delete()
    told = text_of(manager.get(address, follow=True))
    assert "Nobody has passed “Ask” without it" in told and "Give this step" not in told


def test_who_may_not_publish_cannot_give_a_step(viewer: Client, waiting: Pipeline) -> None:
    assert viewer.post(f"{PIPELINE}{waiting.pk}/backfill/hello/", {"choice": "live"}).status_code == 404
    assert PipelineRun.objects.count() == 1
