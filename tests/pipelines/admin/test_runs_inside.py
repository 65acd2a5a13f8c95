"""The page of a run tells what happened inside its blocks, and that of an inner run of which it is a part."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from contacts.models import Contact, FieldDefinition
from crm.models import Team
from pipelines.engine.clock import set_test_clock
from pipelines.engine.tick import run_until_idle
from pipelines.models import PipelineRun, StepExecution
from pipelines.states import RunStatus
from tests.pipelines.admin.pages import RUN, text_of
from tests.pipelines.engine.building import NOON, active, email, later

NEVER = {"type": "manual"}
DIVIDE = {"key": "charge", "name": "Charge", "type": "set_variable", "with": {"sum": "= 100 / (item - 3)"}}
SUM = [{"name": "sum", "type": "number"}]


@pytest.fixture(autouse=True)
def noon(db: None, settings: Settings) -> None:
    settings.DEBUG = True
    settings.PIPELINES_TEST_CLOCK = True
    set_test_clock(NOON)


def parallel(*branches: tuple[str, Sequence[dict[str, Any]]], **more: Any) -> dict[str, Any]:
    parts = [{"name": name, "steps": list(steps)} for name, steps in branches]
    return {"key": "fork", "name": "Order and tell", "type": "parallel", "with": {"branches": parts}, **more}


def loop(steps: Sequence[dict[str, Any]], *, key: str = "each", **given: Any) -> dict[str, Any]:
    return {"key": key, "name": "Each item", "type": "loop", "with": {"steps": list(steps), **given}}


def ann(team: Team, **more: Any) -> PipelineRun:
    """The run that she is in once nothing is left to do now."""
    contact = Contact.objects.create(team=team, **{"first_name": "Ann", "email": "ann@example.org", **more})
    run_until_idle(now=NOON)
    return PipelineRun.objects.filter(subject_id=contact.pk, parent=None).latest("pk")


def page(client: Client, run: PipelineRun) -> str:
    answer = client.get(f"{RUN}{run.pk}/change/")
    assert answer.status_code == 200
    return str(answer.content.decode())


def entries(client: Client, run: PipelineRun) -> list[str]:
    """The entries of the timeline as one reads them, those that are folded behind their summary."""
    html = re.sub(r"<(details|summary|ol)\b", r"<li> <\1", page(client, run).partition('<ol class="pl-story">')[2])
    listed = html.partition("pl-run-picture")[0]
    texts = [re.sub(r"<[^>]*>", " ", each) for each in re.split(r"<li\b[^>]*>", listed)]
    return [re.sub(r"\s+", " ", text).strip() for text in texts if text.strip()]


def link(run: PipelineRun) -> str:
    return f'href="{RUN}{run.pk}/change/"'


def test_the_mails_of_branches_are_told_between_its_own_with_a_link_to_each(viewer: Client, team: Team) -> None:
    tell = ("tell", [email(subject="We are on it"), email(subject="Tomorrow", name="Tomorrow", delay="1d")])
    active(team, [email(subject="Welcome"), parallel(tell, ("quiet", [{"type": "wait"}]))])
    run = ann(team)
    told = text_of(viewer.get(f"{RUN}{run.pk}/change/"))
    first, second = told.index("Sent ‘Welcome’"), told.index("Sent ‘We are on it’")
    assert first < second < told.index("Comes next, in 1 day.")
    assert told.count("branch ‘tell’") == 2 and told.count("branch ‘quiet’") == 1
    assert "Is inside ‘Order and tell’ until what runs there has ended." in told
    branch = PipelineRun.objects.get(parent=run, slot=0)
    assert page(viewer, run).count(link(branch)) == 2


def test_what_failed_inside_is_told_where_it_was(viewer: Client, team: Team) -> None:
    choice = {"key": "choice", "name": "Sure?", "type": "condition", "if": "1 > 2", "on": {"false": "fail"}}
    steps = [parallel(("order", [loop([DIVIDE], over="= [3]", tolerate=1), choice]), ("tell", [email()]))]
    active(team, steps, variables=SUM)
    told = " ".join(entries(viewer, ann(team)))
    assert "Charge branch ‘order’, round 1" in told
    assert "Did not work, and the round failed here. sum: cannot divide by zero" in told
    assert "The condition was not met, so the branch failed here." in told


def test_a_waiting_and_a_paused_branch_say_so_on_the_page_of_the_whole_run(viewer: Client, team: Team) -> None:
    asking = {"key": "ask", "type": "human_task", "with": {"title": "Is it good?", "outcomes": ["yes", "no"]}}
    silent = {"key": "hear", "name": "Hear", "type": "wait_for", "with": {"events": [{"event": "order.paid"}]}}
    active(team, [parallel(("ask", [asking]), ("hear", [silent]), ("stop", [{"type": "wait", "delay": "1d"}]))])
    run = ann(team)
    stopped = PipelineRun.objects.filter(parent=run, slot=2)
    stopped.update(status=RunStatus.PAUSED, next_step_at=None)
    told = " ".join(entries(viewer, run))
    assert "branch ‘ask’ Waits for the task ‘Is it good?’" in told
    assert "Hear branch ‘hear’ Waits for something to happen" in told
    assert "branch ‘stop’ Was paused before this step and waits to be resumed." in told


def test_what_a_called_pipeline_did_is_told_under_its_name(viewer: Client, team: Team) -> None:
    inner = active(team, [email(subject="A gift"), email(subject="Late", delay="2d")], key="other", triggers=[NEVER])
    call = {"key": "call", "name": "Send the gift", "type": "call", "with": {"pipeline": "other"}}
    active(team, [parallel(("friend", [call]))])
    run = ann(team)
    told = " ".join(entries(viewer, run))
    assert "branch ‘friend’, pipeline ‘Other’" in told and "Sent ‘A gift’ to ann@example.org" in told
    assert "Comes next, in 2 days." in told
    called = PipelineRun.objects.get(pipeline=inner)
    branch = PipelineRun.objects.get(parent=run)
    said = text_of(viewer.get(f"{RUN}{called.pk}/change/"))
    way = f"Called by ‘Send the gift’ in run {branch.pk} , which is branch ‘friend’ of ‘Order and tell’ in run {run.pk}"
    assert way in said
    assert f"Called by ‘Send the gift’ in run {branch.pk} , with version 1." in said
    assert "Entered by hand" not in said


def test_a_called_pipeline_says_who_called_it_also_when_that_went_on(viewer: Client, team: Team) -> None:
    inner = active(team, [email()], key="other", triggers=[NEVER])
    active(team, [{"key": "call", "name": "Ask other", "type": "call", "with": {"pipeline": "other"}}, email()])
    run = ann(team)
    called = PipelineRun.objects.get(pipeline=inner)
    assert run.status == RunStatus.COMPLETED
    assert f"Called by ‘Ask other’ in run {run.pk}" in text_of(viewer.get(f"{RUN}{called.pk}/change/"))


def test_a_round_says_of_which_loop_branch_and_run_it_is(viewer: Client, team: Team) -> None:
    active(team, [parallel(("order", [loop([email()], times=2)]))])
    run = ann(team)
    branch = PipelineRun.objects.get(parent=run)
    second = PipelineRun.objects.get(parent=branch, slot=1)
    said = text_of(viewer.get(f"{RUN}{second.pk}/change/"))
    way = f"Round 2 of ‘Each item’ in run {branch.pk} , which is branch ‘order’ of ‘Order and tell’ in run {run.pk}"
    assert way in said and "Entered by hand" not in said
    assert f"Began as round 2 of ‘Each item’ in run {branch.pk} , with version 1." in said
    html = page(viewer, second)
    assert link(branch) in html and link(run) in html
    # What is inside the branch is told from there on.
    assert "round 2" in page(viewer, branch) and "branch ‘order’, round" not in page(viewer, branch)


def test_rounds_that_went_well_are_folded_and_those_that_failed_are_not(viewer: Client, team: Team) -> None:
    items = "= [1, 2, 3, 4, 5, 6, 7, 8]"
    active(team, [loop([email(), DIVIDE], over=items, tolerate=1), {"type": "wait"}], variables=SUM)
    html = page(viewer, ann(team))
    shown = re.sub(r"<details.*?</details>", " (folded) ", html, flags=re.S)
    folds = re.findall(r"<summary>(.*?)</summary>", html, flags=re.S)
    summaries = [re.sub(r"<[^>]*>", " ", each).strip().partition("  ")[0] for each in folds]
    assert summaries == [
        "4 visits in rounds 1 to 2 of ‘Each item’ went well.",
        "10 visits in rounds 4 to 8 of ‘Each item’ went well.",
    ]
    assert "the round failed here" in shown and "round 3" in shown
    assert "round 2" in html and "round 2" not in shown


def test_an_error_after_which_a_round_went_on_is_not_folded(viewer: Client, team: Team) -> None:
    steps = [{**DIVIDE, "on": {"error": "next"}}, email()]
    active(team, [loop(steps, over="= [1, 2, 3, 4, 5, 6, 7, 8]")], variables=SUM)
    shown = re.sub(r"<details.*?</details>", " (folded) ", page(viewer, ann(team)), flags=re.S)
    assert "sum: cannot divide by zero" in shown and "round 3" in shown and shown.count("(folded)") == 2


def test_a_branch_that_failed_later_did_not_fail_at_the_condition_before(viewer: Client, team: Team) -> None:
    choice = {"key": "choice", "type": "condition", "if": "1 < 2", "on": {"true": "next"}}
    active(team, [parallel(("one", [choice, {"type": "wait", "delay": "1d"}]))])
    run = ann(team)
    branch = PipelineRun.objects.filter(parent=run)
    branch.update(status=RunStatus.FAILED, next_step_at=None, finished_at=NOON, reason="expired")
    told = " ".join(entries(viewer, run))
    assert "The condition was met, so the branch ended here." in told


def test_a_branch_waits_for_its_rounds_and_these_say_for_what(viewer: Client, team: Team) -> None:
    active(team, [parallel(("one", [loop([{"name": "Rest", "type": "wait", "delay": "1d"}], times=2)]))])
    told = " ".join(entries(viewer, ann(team)))
    assert "Rest branch ‘one’, round 1" in told and "Waits for something" not in told


def test_a_few_rounds_are_told_in_full(viewer: Client, team: Team) -> None:
    active(team, [loop([email(), email()], times=5)])
    assert "<details" not in page(viewer, ann(team)).partition("pl-story")[2].partition("pl-run-picture")[0]


def test_of_a_very_long_story_its_own_steps_and_what_failed_are_kept(
    viewer: Client, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.story.LONGEST_STORY", 6)
    first = email(subject="The very first")
    active(team, [first, loop([DIVIDE], over="= [3, 1, 1, 1, 1, 1, 1, 1, 1]", tolerate=1)], variables=SUM)
    told = " ".join(entries(viewer, ann(team)))
    assert "Sent ‘The very first’" in told and "sum: cannot divide by zero" in told
    assert "What happened before inside its blocks is left out here, except what failed." in told
    assert "round 1 " in told and "round 3 " not in told and "round 9 " in told


def test_a_short_story_says_of_nothing_that_it_is_left_out(viewer: Client, team: Team) -> None:
    active(team, [loop([email()], times=2)])
    assert "left out" not in page(viewer, ann(team))


def test_many_runs_on_their_way_inside_are_folded_beyond_the_first(viewer: Client, team: Team) -> None:
    active(team, [loop([{"type": "wait", "delay": "1d"}], times=25, concurrency=25)])
    told = entries(viewer, ann(team))
    assert sum("Comes next" in each for each in told) == 25
    assert any("5 more inside are on their way." in each for each in told)


def test_personal_fields_are_masked_inside_too(viewer: Client, team: Team) -> None:
    FieldDefinition.objects.create(team=team, model="contacts.contact", key="plan", label="Plan", personal=True)
    rule = {"field": "contact.custom.plan", "operator": "equals", "value": "gold"}
    choice = {"type": "condition", "if": rule, "on": {"true": "end", "false": "end"}}
    active(team, [parallel(("order", [choice]))])
    run = ann(team, custom={"plan": "secretly_silver"})
    # As a log may hold it that is older than the mark.
    StepExecution.objects.filter(root_id=run.pk).update(why=[{**rule, "actual": "secretly_silver", "met": False}])
    html = page(viewer, run)
    assert "contact.custom.plan" in html and "secretly_silver" not in html


def test_more_children_levels_and_visits_cost_no_more_statements(viewer: Client, team: Team) -> None:
    def small() -> list[dict[str, Any]]:
        rounds = loop([email(), {"type": "wait", "delay": "1d"}], times=1)
        return [parallel(("one", [email(), rounds]))]

    inner = loop([email(), DIVIDE, email(subject="Again")], key="inner", over="= [1, 2, 3, 4]", tolerate=4)
    outer = loop([inner, email()], key="outer", times=12, concurrency=3)
    waits = loop([{"type": "wait", "delay": "1d"}], key="waits", times=12, concurrency=12)
    branches = [("deep", [outer]), ("many", [waits]), *((f"b{n}", [email(), email()]) for n in range(6))]
    counts: list[int] = []
    for steps in (small(), [parallel(*branches)]):
        pipeline = active(team, steps, key=f"p{len(counts)}", variables=SUM)
        run = ann(team)
        pipeline.triggers.all().delete()
        viewer.get(f"{RUN}{run.pk}/change/")
        counts.append(_statements(viewer, run))
        branch = PipelineRun.objects.filter(parent=run).earliest("pk")
        counts.append(_statements(viewer, branch))
    whole, inside, large, large_inside = counts
    assert (large, large_inside) == (whole, inside) == (20, 23)


def _statements(client: Client, run: PipelineRun) -> int:
    with CaptureQueriesContext(connection) as queries:
        client.get(f"{RUN}{run.pk}/change/")
    return len(queries)


def test_the_list_shows_whole_runs_unless_one_asks_for_more(viewer: Client, team: Team) -> None:
    pipeline = active(team, [parallel(("one", [{"key": "rest", "type": "wait", "delay": "1d"}]), ("two", [email()]))])
    run = ann(team)
    inner = PipelineRun.objects.filter(parent=run).earliest("pk")
    assert "1 run " in text_of(viewer.get(RUN))
    every = text_of(viewer.get(RUN, {"inside": "also"}))
    assert "3 runs" in every and every.count(f"Ann, inside run {run.pk}") == 2
    assert "2 runs" in text_of(viewer.get(RUN, {"inside": "only"}))
    assert "Whole runs" in text_of(viewer.get(RUN))
    # The links of the page of a pipeline lead to those who stand at a step, and a number to its run.
    step = pipeline.steps.get(key="rest")
    assert "1 run " in text_of(viewer.get(RUN, {"pipeline__id__exact": pipeline.pk, "step": step.pk}))
    assert link(inner).partition("?")[0].rstrip('"') in viewer.get(RUN, {"q": str(inner.pk)}).content.decode()


def test_a_mail_of_tomorrow_is_told_once_it_was_sent(viewer: Client, team: Team) -> None:
    active(team, [parallel(("tell", [email(subject="Tomorrow", delay="1d")])), email(subject="Done")])
    run = ann(team)
    run_until_idle(now=later(days=1))
    told = entries(viewer, run)
    order = [next(n for n, each in enumerate(told) if words in each) for words in ("‘Tomorrow’", "Done.", "‘Done’")]
    assert order == sorted(order)
