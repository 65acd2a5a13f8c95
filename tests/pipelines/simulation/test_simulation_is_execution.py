"""What a simulation says is what then happens: the same visits at the same times, messages and variables."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from contacts.models import Contact
from crm.models import Team
from pipelines.actions.registry import kinds
from pipelines.engine.clock import pretend
from pipelines.models import PipelineRun
from pipelines.operations import import_document
from pipelines.simulation.report import report_of
from pipelines.simulation.scenario import Scenario, scenario_of
from pipelines.simulation.simulate import simulate
from pipelines.simulation.stage import Stage
from pipelines.simulation.world import World
from tests.examples import examples
from tests.pipelines.engine.building import NOON, document
from tests.pipelines.simulation.stories import (
    ANSWERS_OF_PEOPLE,
    EVENTS,
    VARIABLES,
    Step,
    every_step,
    of_kind,
    stories,
)

FAR = datetime.fromisoformat("2030-01-01T00:00:00+00:00")


def told(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what differs by nature: ids of runs and references of messages."""
    steps = [
        {name: each[name] for name in
         ("key", "branch", "visit", "entered_at", "left_at", "event", "outcome", "attempt", "why", "error")}
        for each in report["steps"]
    ]  # fmt: skip
    # Mail about a task holds the number of its form, which differs by nature.
    messages = [
        {"text": each["text"] if each["to"] == "ann@example.org" else "",
         **{name: each[name] for name in ("step", "at", "to", "subject", "state")}}
        for each in report["messages"]
    ]  # fmt: skip
    return {
        "status": report["status"], "reason": report["reason"], "finished_at": report["finished_at"],
        "steps": sorted(steps, key=lambda each: (str(each["left_at"]), each["branch"], each["visit"], each["attempt"])),
        "messages": sorted(messages, key=str),
        "vars": report["context"]["vars"],
    }  # fmt: skip


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=examples(9),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stories())
def test_a_simulation_tells_what_then_happens(furnished: Team, story: tuple[list[Step], dict[str, Any]]) -> None:
    line, stubs = story
    ann = Contact.objects.create(team=furnished, first_name="Ann", email="ann@example.org", phone="+4915112345679")
    definition = document(
        line, key=f"p{ann.pk}", triggers=[], settings={"max_hops": 12}, variables=VARIABLES
    )  # fmt: skip
    answers = dict.fromkeys(of_kind(line, "human_task"), ANSWERS_OF_PEOPLE)
    given = {"subject": ann.pk, "stubs": stubs, "until": FAR, "events": EVENTS, "responses": answers}
    scenario = scenario_of(given, now=NOON)
    before = simulate(team=furnished, document=definition, scenario=scenario, seconds=120)
    after = _performed(furnished, definition, scenario, ann.pk)
    assert told(before) == told(after)


@settings(deadline=None, max_examples=300, phases=[Phase.generate], database=None, derandomize=True)
@given(stories())
def gather(story: tuple[list[Step], dict[str, Any]]) -> None:
    TRIED.update(one["type"] for one in every_step(story[0]))


TRIED: set[str] = set()


def test_stories_are_told_with_steps_of_every_kind() -> None:
    gather()
    assert set(kinds()) == TRIED


def _performed(team: Team, definition: dict[str, Any], scenario: Scenario, subject_id: int) -> dict[str, Any]:
    """The same story by the engine in the real database, with the same answers from outside."""
    pipeline = import_document(team=team, document=definition, activate=True)
    stage = Stage(World(team), definition, scenario, pipeline, {})
    with pretend(NOON):
        (run_id,) = stage.enroll([subject_id]).enrolled
    stage.play([subject_id], seconds=120)
    return report_of(PipelineRun.objects.get(pk=run_id))
