"""What holds for any nesting of blocks: company does not matter, counters are right, everybody is released once."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from random import Random
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models import Count, F, Q
from pytest_django import Settings

from contacts.models import RecordType, Segment
from contacts.operations import bulk_create_contacts
from crm.models import Team
from pipelines.engine.clock import pretend, set_test_clock
from pipelines.engine.tick import process_due_runs
from pipelines.models import Pipeline, PipelineRun, StepExecution
from pipelines.states import RunStatus
from tests.examples import examples
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.counting import statements
from tests.pipelines.simulation.stories import BESIDE, CALLED, OWN_FIELDS, PLAIN, VARIABLES

Step = dict[str, Any]
HOURS = 14


# Kinds of steps that go on by themselves, and those with several ways on. What `find_records` finds is the run's own.
OTHERS: dict[str, dict[str, Any]] = {
    **{kind: ways[-1] for kind, ways in PLAIN.items() if kind not in ("wait", "find_records", "code")},
    "find_records": {
        "model": "contacts.contact", "where": {"field": "id", "operator": "equals", "value": "= contact.id"}
    },
    "set_variable": {"score": "= score + 1"},
    "call": {"pipeline": "called"},
}  # fmt: skip
WAYS: list[Step] = [
    {"type": "condition", "if": "contact.job_title == 'Boss'", "on": {"true": "next", "false": "end"}},
    {"type": "switch", "with": {"cases": [{"name": "high", "if": "score > 2"}]}, "on": {"high": "end"}},
    {"type": "split", "with": {"variants": [{"name": "a"}, {"name": "b"}], "seed": "x"}},
    {"type": "wait_for", "timeout": "2h", "with": {"events": [{"event": "x.y"}]}, "on": {"timeout": "next"}},
    {"type": "human_task", "timeout": "1h", "with": {"title": "Fit?"}, "on": {"timeout": "next"}},
    {"type": "end", "with": {"reason": "enough"}},
]


class Documents:
    """Random steps of every kind that works alone, each noted in a variable; branches in any order, loops."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._names = count()

    def steps(self, depth: int = 0) -> list[Step]:
        return [self._step(depth) for _ in range(self._random.randint(1, 3))]

    def _step(self, depth: int) -> Step:
        kinds = ["wait", "add", "other", "way"] if depth >= 2 else ["wait", "add", "other", "way", "parallel", "loop"]
        key = f"s{next(self._names)}"
        match self._random.choice(kinds):
            case "other":
                kind = self._random.choice(sorted(OTHERS))
                added = {"trace": f"= trace + '{key}.'"}
                return {"key": key, "type": kind, "with": OTHERS[kind], "set": added, "on": {"error": "next"}}
            case "way":
                return {"key": key, **self._random.choice(WAYS)}
            case "wait":
                return {"key": key, "type": "wait", "delay": f"{self._random.randint(0, 2)}h"}
            case "add":
                return {"key": key, "type": "set_variable", "with": {"trace": f"= trace + '{key}.'"}}
            case "loop":
                return {"key": key, "type": "loop", "with": self._loop(depth)}
            case _:
                return {"key": key, "type": "parallel", "with": self._parallel(depth)}

    def _loop(self, depth: int) -> dict[str, Any]:
        return {
            "times": self._random.randint(0, 3),
            "concurrency": self._random.randint(1, 3),
            "export": self._random.choice([[], ["trace"]]),
            "steps": self.steps(depth + 1),
        }

    def _parallel(self, depth: int) -> dict[str, Any]:
        names = [f"b{n}" for n in range(self._random.randint(1, 3))]
        branches: list[dict[str, Any]] = []
        for n, name in enumerate(names):
            branch: dict[str, Any] = {"name": name, "steps": self.steps(depth + 1)}
            if n and self._random.random() < 0.5:
                branch["after"] = self._random.sample(names[:n], self._random.randint(1, n))
            if self._random.random() < 0.3:
                branch["if"] = "contact.job_title == 'Boss'"
            branches.append(branch)
        join = self._random.choice(["all", "all", "any", 1])
        return {"branches": branches, "join": join, "cancel_rest": self._random.choice([True, False])}


def furnish(team: Team) -> None:
    """What steps may name."""
    RecordType.objects.create(team=team, key="visit", label="Visit", fields=OWN_FIELDS)
    Segment.objects.create(team=team, key="warm", name="Warm")
    active(team, CALLED, key="called", triggers=[], variables=VARIABLES)
    active(team, BESIDE, key="beside", triggers=[])


def enter(team: Team, size: int) -> None:
    people = [
        {"first_name": f"C{n}", "email": f"c{n}@{team.slug}.example", "job_title": "Boss" if n % 2 else "Clerk"}
        for n in range(size)
    ]
    bulk_create_contacts(team=team, items=people)


def open_children_are_right() -> bool:
    mine = Q(children__finished_at=None, children__parent_seq=F("seq"), children__isnull=False)
    counted = PipelineRun.objects.filter(finished_at=None).annotate(really=Count("children", filter=mine))
    return not counted.exclude(open_children=F("really")).exists()


def through_the_hours() -> None:
    for hour in range(HOURS):
        with pretend(later(hours=hour)):
            process_due_runs()
        assert open_children_are_right()


def results(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    """How every run of every contact ended: when, as what, and what it remembers.

    Of a branch that was called off because another was first, only that it was: how far it had come is a race.
    """
    rows = list(PipelineRun.objects.filter(pipeline=pipeline).select_related("context", "parent__step").order_by("pk"))
    lost: set[int] = set()
    found = []
    for run in rows:
        kept = getattr(run, "context", None)
        within = run.parent.step.key if run.parent is not None and run.parent.step is not None else ""
        subject = (run.subject_id or 0) - min_subject(pipeline)
        if run.status == RunStatus.CANCELLED or run.parent_id in lost:
            lost.add(run.pk)
            if run.parent_id not in lost:
                found.append((subject, within, run.parent_seq, run.slot, run.status, str(run.reason), "", ""))
            continue
        found.append((
            subject, within, run.parent_seq, run.slot, run.status, str(run.reason), str(run.finished_at),
            str(kept.vars if kept is not None else ""),
        ))  # fmt: skip
    return sorted(found)


def min_subject(pipeline: Pipeline) -> int:
    return min(pk or 0 for pk in PipelineRun.objects.filter(pipeline=pipeline).values_list("subject_id", flat=True))


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(examples(6)))
def test_what_becomes_of_a_run_does_not_depend_on_its_company(settings: Settings, seed: int) -> None:
    told = []
    for size in (1, 1_000):
        settings.PIPELINES_BATCH_SIZE = size
        team = Team.objects.create(name=f"T{size}", slug=f"t{size}")
        with pretend(NOON):
            furnish(team)
            variables = [*VARIABLES, {"name": "trace", "type": "string", "default": ""}]
            pipeline = active(team, Documents(seed).steps(), variables=variables)
            enter(team, 4)
        through_the_hours()
        told.append(results(pipeline))
    assert told[0] == told[1]
    assert any(row[4] == RunStatus.COMPLETED for row in told[0])


FORK: Sequence[Step] = [
    {
        "key": "fork",
        "type": "parallel",
        "with": {"branches": [{"name": name, "steps": [{"key": f"w{name}", "type": "wait"}]} for name in "abc"]},
    },
    {"key": "after", "type": "wait"},
]


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite takes at most 999 parameters in a statement")
def test_forking_and_joining_a_hundred_takes_as_many_statements_as_ten() -> None:
    costs = []
    # The first round fills caches and does what is done once a day.
    for size in (1, 10, 100):
        team = Team.objects.create(name=f"T{size}", slug=f"t{size}")
        with pretend(NOON):
            pipeline = active(team, FORK)
            enter(team, size)
            costs.append(statements(process_due_runs))
        done = PipelineRun.objects.filter(pipeline=pipeline, status=RunStatus.COMPLETED, open_children=0)
        assert done.count() == size * 4
    assert costs[1] == costs[2]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="there is one writer at a time")
@pytest.mark.parametrize("turn", range(2))
def test_racing_workers_release_every_parent_once(settings: Settings, turn: int) -> None:
    settings.DEBUG = True
    settings.PIPELINES_TEST_CLOCK = True
    settings.PIPELINES_BATCH_SIZE = 37 + turn
    set_test_clock(NOON)
    team = Team.objects.create(name="Race", slug="race")
    pipeline = active(team, FORK)
    enter(team, 200)
    with ThreadPoolExecutor(max_workers=6) as pool:
        list(pool.map(lambda _: work(), range(6)))
    process_due_runs()
    runs = PipelineRun.objects.filter(pipeline=pipeline)
    assert Counter(runs.values_list("status", flat=True)) == {RunStatus.COMPLETED.value: 800}
    assert open_children_are_right()
    visits = Counter(StepExecution.objects.filter(run_id__in=runs.values("pk")).values_list("run_id", "seq"))
    assert set(visits.values()) == {1} and len(visits) == 200 * 2 + 600


def work() -> None:
    try:
        process_due_runs()
    finally:
        connections.close_all()
