"""What a simulation says is what then happens: the same visits at the same times, messages and variables."""

import json

import pytest
from hypothesis import Phase, given
from hypothesis import settings as tries
from pytest_django import Settings

from contacts.models import Contact
from crm.models import Team
from pipelines.actions.registry import kinds
from tests.examples import groups, together
from tests.pipelines.engine.building import document
from tests.pipelines.simulation.conftest import furnish
from tests.pipelines.simulation.side_by_side import Part, part, performed, told
from tests.pipelines.simulation.stories import (
    ANSWERS_OF_PEOPLE,
    EVENTS,
    VARIABLES,
    Story,
    every_step,
    of_kind,
    stories,
    story_of,
)

# So many random stories share a database and its passes.
TOGETHER = together(9)
GROUPS = groups(TOGETHER)


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("group", GROUPS)
def test_a_simulation_tells_what_then_happens(settings: Settings, group: int) -> None:
    settings.PIPELINES_CODE_STEPS = True
    parts = [told_of_ann(number) for number in range(group * TOGETHER, (group + 1) * TOGETHER)]
    before = [each.simulated() for each in parts]
    after = performed(parts)
    assert [(said["warnings"], said["finished_at"] is None) for said in before] == [([], False)] * TOGETHER
    for each, said, happened in zip(parts, before, after, strict=True):
        assert told(said) == told(happened), json.dumps([each.document, each.scenario.stubs])


def told_of_ann(number: int) -> Part:
    """The story of this number, in a team of its own."""
    team = Team.objects.create(name=f"T{number}", slug=f"t{number}")
    furnish(team)
    ann = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org", phone="+4915112345679")
    line, stubs = story_of(number)
    definition = document(
        line, key=f"p{number}", triggers=[], settings={"max_hops": 12}, variables=VARIABLES
    )  # fmt: skip
    answers = dict.fromkeys(of_kind(line, "human_task"), ANSWERS_OF_PEOPLE)
    return part(team, ann, definition, stubs=stubs, events=EVENTS, responses=answers)


@tries(deadline=None, max_examples=300, phases=[Phase.generate], database=None, derandomize=True)
@given(stories())
def gather(story: Story) -> None:
    TRIED.update(one["type"] for one in every_step(story[0]))


TRIED: set[str] = set()


def test_stories_are_told_with_steps_of_every_kind() -> None:
    gather()
    assert set(kinds()) == TRIED
