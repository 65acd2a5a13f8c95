"""What becomes of a run does not depend on who shares its batch, whatever the steps, people, systems and events."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from pytest_django import Settings

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.clock import pretend
from pipelines.engine.tick import process_due_runs
from pipelines.sandbox import running
from pipelines.states import RunStatus
from tests.examples import groups, together
from tests.pipelines.engine.building import NOON, later
from tests.pipelines.engine.company import (
    Documents,
    Rows,
    Steady,
    enter,
    furnish,
    happen,
    kinds_left_out,
    next_try,
    open_children_are_right,
    published,
    results,
)
from tests.pipelines.simulation.stories import every_step

HOURS = 14
# So many random pipelines share a database and its passes.
TOGETHER = together(6)
GROUPS = groups(TOGETHER)
SHOWN = 3


@pytest.fixture
def system(tmp_path: Path, settings: Settings) -> Iterator[Steady]:
    settings.PIPELINES_CODE_STEPS = True
    with Steady(tmp_path / "web.jsonl") as system:
        settings.OUTBOUND_HTTP_ALLOW = f"127.0.0.0/8:{system.port}"
        yield system
    running.close()


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("group", GROUPS)
def test_what_becomes_of_a_run_does_not_depend_on_its_company(
    settings: Settings, system: Steady, caplog: pytest.LogCaptureFixture, group: int
) -> None:
    seeds = range(group * TOGETHER, (group + 1) * TOGETHER)
    alone = lived(seeds, system, settings, batch=1)
    together = lived(seeds, system, settings, batch=7 if group % 2 else 1_000)
    differing = [seed for seed in seeds if alone[seed] != together[seed]]
    assert not differing, "\n".join(told(seed, alone, together) for seed in differing[:SHOWN])
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    assert all(any(row[4] == RunStatus.COMPLETED for row in rows) for rows in alone.values())


def test_documents_hold_steps_of_every_kind() -> None:
    found = {one["type"] for seed in range(200) for one in every_step(Documents(seed, url="").whole()[0])}
    assert kinds_left_out(found) == set()


def lived(seeds: Sequence[int], system: Steady, settings: Settings, *, batch: int) -> dict[int, Rows]:
    """What becomes of everybody in the pipelines of these seeds, with batches of this size."""
    settings.PIPELINES_BATCH_SIZE = batch
    team = Team.objects.create(name=f"T{batch}", slug=f"t{batch}")
    with pretend(NOON):
        furnish(team)
        documents = {seed: Documents(seed, url=system.url).whole()[0] for seed in seeds}
        pipelines = {seed: published(team, seed, url=system.url) for seed in seeds}
        enter(team, seeds)
    through_the_hours(team)
    return {seed: results(pipeline, documents[seed]) for seed, pipeline in pipelines.items()}


def through_the_hours(team: Team) -> None:
    """The engine looks at every full hour and when calls are tried again; what comes from outside came between hours.

    Whether an answer that comes late finds its block open is a race; nobody is late here.
    """
    subjects = list(Contact.objects.filter(team=team).order_by("pk").values_list("pk", flat=True))
    for hour in range(HOURS):
        if hour:
            with pretend(later(hours=hour - 0.5)):
                happen(team, hour, subjects)
        moment: datetime | None = later(hours=hour)
        while moment is not None:
            with pretend(moment):
                while process_due_runs().more:
                    pass
            moment = next_try(after=moment, before=later(hours=hour + 0.5))
        assert open_children_are_right()


def told(seed: int, alone: dict[int, Rows], together: dict[int, Rows]) -> str:
    """The document of a seed and what became of it, for whoever looks for the cause."""
    rows = {"alone": [row for row in alone[seed] if row not in together[seed]],
            "together": [row for row in together[seed] if row not in alone[seed]]}  # fmt: skip
    parts = [f"{name}: {row}" for name, found in rows.items() for row in found]
    return "\n".join([f"seed {seed}", json.dumps(Documents(seed, url="").whole()), *parts])
