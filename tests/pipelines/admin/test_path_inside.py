"""The picture of a run shows the way through its branches and rounds."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.clock import set_test_clock
from pipelines.engine.tick import run_until_idle
from pipelines.models import PipelineRun
from tests.pipelines.admin.pages import RUN
from tests.pipelines.engine.building import NOON, active

STEPS = [
    {
        "key": "both", "type": "parallel",
        "with": {"branches": [
            {"name": "quick", "steps": [
                {"key": "first", "name": "First", "type": "wait"},
                {"key": "choice", "name": "Choice", "type": "condition", "if": "1 > 2",
                 "on": {"true": "never", "false": "last"}},
                {"key": "never", "name": "Never", "type": "wait"},
                {"key": "last", "name": "Last", "type": "wait"},
            ]},
            {"name": "rounds", "after": ["quick"], "steps": [
                {"key": "again", "type": "loop", "with": {"times": 2, "steps": [
                    {"key": "tick", "name": "Tick", "type": "wait"},
                    {"key": "pause", "name": "Pause", "type": "wait", "delay": "1d"},
                    {"key": "rest", "name": "Rest", "type": "wait"},
                ]}},
            ]},
        ]},
    },
]  # fmt: skip

NAMES = ("First", "Choice", "Never", "Last", "Tick", "Pause", "Rest")


@pytest.fixture(autouse=True)
def noon(db: None, settings: Settings) -> None:
    settings.DEBUG = True
    settings.PIPELINES_TEST_CLOCK = True
    set_test_clock(NOON)


def marks(client: Client, run: PipelineRun) -> dict[str, str]:
    """The state of each step of the picture by its title."""
    page = client.get(f"{RUN}{run.pk}/change/").content.decode()
    found = re.findall(r'<g class="pp-(?:step|block)([^"]*)"><title>([^<]*)</title>', page)
    return {title.partition(" · ")[0]: classes.strip().removeprefix("pp-") for classes, title in found}


def test_steps_inside_branches_and_rounds_are_marked_and_the_way_between_them(viewer: Client, team: Team) -> None:
    active(team, STEPS)
    Contact.objects.create(team=team, email="ann@example.org")
    run_until_idle(now=NOON)
    run = PipelineRun.objects.get(parent=None)

    found = marks(viewer, run)

    assert {name: state for name, state in found.items() if name in NAMES} == {
        "First": "done", "Choice": "done", "Never": "untaken", "Last": "done", "Tick": "done", "Pause": "now",
        "Rest": "untaken",
    }  # fmt: skip
    # From first to choice, choice to last, the one branch to the other, and tick to pause; and into the block.
    assert ways_taken(viewer, run) == 5
    run_until_idle(now=NOON + timedelta(days=1))
    # From pause to rest, and from there to tick again.
    assert ways_taken(viewer, run) == 7


def ways_taken(client: Client, run: PipelineRun) -> int:
    page = client.get(f"{RUN}{run.pk}/change/").content.decode()
    return len(re.findall(r'class="pp-way pp-taken"', page))


def test_many_rounds_cost_as_many_statements_as_one(viewer: Client, team: Team) -> None:
    counts = []
    for times in (2, 12):
        inside = [{"key": f"in_{times}", "type": "wait"}]
        loop = {"key": f"loop_{times}", "type": "loop", "with": {"times": times, "concurrency": 5, "steps": inside}}
        active(team, [loop], key=f"rounds_{times}")
        Contact.objects.create(team=team, email=f"{times}@example.org")
        run_until_idle(now=NOON)
        run = PipelineRun.objects.get(parent=None, pipeline__key=f"rounds_{times}")
        viewer.get(f"{RUN}{run.pk}/change/")
        counts.append(_statements(viewer, run))
        run.pipeline.triggers.all().delete()
    assert counts[0] == counts[1]


def _statements(client: Client, run: PipelineRun) -> int:
    with CaptureQueriesContext(connection) as queries:
        client.get(f"{RUN}{run.pk}/change/")
    return len(queries)
