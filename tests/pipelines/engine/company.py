"""Random documents with steps of every kind, and what people, systems and events answer whoever else is there."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, F, Q

from contacts.models import Contact, RecordType, Segment
from contacts.operations import bulk_create_contacts
from crm.models import Member, Team
from crm.work import worker_of_member
from pipelines.actions.registry import kinds
from pipelines.engine.events import Fact, publish_all
from pipelines.models import Effect, HumanTask, Pipeline, PipelineRun, PipelineStep, StepExecution
from pipelines.models.human import OPEN
from pipelines.operations.people import answer_form
from pipelines.sandbox import running
from pipelines.states import RunStatus
from tests.pipelines.engine.building import active
from tests.pipelines.simulation.stories import BESIDE, CALLED, OWN_FIELDS, PLAIN, VARIABLES, Step, every_step
from tests.sinks.http import Answer, HttpSink

PEOPLE = 3
Rows = list[tuple[Any, ...]]
TRACED = [*VARIABLES, {"name": "trace", "type": "string", "default": ""}]
# Kinds of steps that go on by themselves. What `find_records` finds is the run's own.
OTHERS: dict[str, list[dict[str, Any]]] = {
    **{kind: ways for kind, ways in PLAIN.items() if kind != "wait" and (kind != "code" or running.installed())},
    "find_records": [
        {"model": "contacts.contact", "where": {"field": "id", "operator": "equals", "value": "= contact.id"}}
    ],
    "set_variable": [{"score": "= score + 1"}, {"score": "= contact.first_name"}],
    "call": [{"pipeline": "called"}, {"pipeline": "called", "wait": False}],
}
WORDS: dict[str, dict[str, str]] = {
    "call_api": {"score": "= steps.{}.body.score or score"},
    "code": {"score": "= steps.{}.score or score"},
    "human_task": {"score": "= steps.{}.points or score"},
}
CASES = [{"name": "high", "if": "score > 2"}, {"name": "low", "if": "score < 1"}]
EVENTS = [
    {"name": "paid", "event": "order.paid", "where": "event.total > 5"},
    {"name": "met", "event": "person.met"},
]
FORM = [{"name": "points", "type": "number", "required": True}]
ASKED = {"title": "Fit?", "outcomes": ["yes", "no"], "form": FORM, "assignee": "maya@x.org"}
GOAL = {"key": "paid", "event": "order.paid", "where": "event.total > 8"}
EXIT = {"event": "person.left", "status": "cancelled"}
# What happens to every contact, half an hour before the hour at which the engine looks again.
HAPPENINGS: dict[int, tuple[str, dict[str, Any]]] = {
    2: ("order.paid", {"total": 3}),
    4: ("order.paid", {"total": 7}),
    6: ("person.met", {}),
    8: ("order.paid", {"total": 9}),
    11: ("person.left", {}),
}


class Documents:
    """Random steps of every kind, those that work alone noted in a variable; branches in any order, loops."""

    def __init__(self, seed: int, *, url: str) -> None:
        self._random = Random(seed)
        self._names = count()
        self._url = url

    def whole(self) -> tuple[list[Step], dict[str, Any]]:
        """The steps of a pipeline, and its goals and exit rules."""
        steps = self.steps()
        more: dict[str, Any] = {"variables": TRACED}
        if self._random.random() < 0.2:
            more["goals"] = [GOAL | {"exit": self._random.choice([True, False])}]
        if self._random.random() < 0.1:
            more["exit"] = [EXIT]
        return steps, more

    def steps(self, depth: int = 0) -> list[Step]:
        return [self._step(depth) for _ in range(self._random.randint(1, 3))]

    def _step(self, depth: int) -> Step:
        alone = ["wait", "add", "other", "way", "call_api"]
        key, kind = f"s{next(self._names)}", self._random.choice(alone if depth >= 2 else [*alone, "parallel", "loop"])
        match kind:
            case "other":
                kind = self._random.choice(sorted(OTHERS))
                return {"type": kind, "with": self._random.choice(OTHERS[kind]), **self._noted(key, kind)}
            case "call_api":
                given = {"method": "POST", "url": f"{self._url}/{key}/{{{{ contact.first_name }}}}/{{{{ score }}}}"}
                return {"type": kind, "with": given, "retry": {"max": 2, "delay": 300}, **self._noted(key, kind)}
            case "way":
                return {"key": key, **self._way(key)}
            case "wait":
                return {"key": key, "type": "wait", "delay": f"{self._random.randint(0, 2)}h"}
            case "add":
                return {"key": key, "type": "set_variable", "with": {"trace": f"= trace + '{key}.'"}}
        given = self._loop(depth) if kind == "loop" else self._parallel(depth)
        return {"key": key, "type": kind, "with": given | self._joining(), **self._patience()}

    def _noted(self, key: str, kind: str) -> Step:
        words = {name: text.format(key) for name, text in WORDS.get(kind, {}).items()}
        return {"key": key, "set": {"trace": f"= trace + '{key}.'", **words}, "on": {"error": "next"}}

    def _way(self, key: str) -> Step:
        """A step with several ways on."""
        chance = self._random
        match chance.choice(["condition", "switch", "split", "wait_for", "human_task", "end"]):
            case "condition":
                way = {"true": "next", "false": chance.choice(["end", "next"])}
                return {"type": "condition", "if": "contact.job_title == 'Boss'", "on": way}
            case "switch":
                return {"type": "switch", "with": {"cases": CASES}, "on": {"high": chance.choice(["end", "next"])}}
            case "split":
                variants = [{"name": "a"}, {"name": "b", "weight": chance.randint(0, 2)}]
                given = {"variants": variants, "holdout": chance.choice([0, 30]), "seed": key}
                # Who gets which is drawn from the number of a contact, so it must make no difference here.
                return {"type": "split", "with": given, "on": {"holdout": "next"}}
            case "wait_for":
                given = {"events": [each | {"since": chance.choice(["now", "run", "1d"])} for each in EVENTS]}
                hours = f"{chance.randint(1, 4)}h"
                heard = {"trace": f"= trace + '{key}:' + (steps.{key}.outcome or 'late') + '.'"}
                return {"type": "wait_for", "timeout": hours, "with": given, "set": heard, "on": {"timeout": "next"}}
            case "human_task":
                noted = self._noted(key, "human_task")["set"]
                timeout = {"timeout": f"{chance.randint(1, 4)}h", "on": {"timeout": "next"}}
                return {"type": "human_task", "with": ASKED, "set": noted, **timeout}
        return {"type": "end", "with": chance.choice([{"reason": "enough"}, {"reason": "enough", "terminate": True}])}

    def _joining(self) -> dict[str, Any]:
        return {
            "on_branch_error": self._random.choice(["ignore", "ignore", "wait", "fail"]),
            "join": self._random.choice(["all", "all", "any", 1, {"when": "completed + skipped > 1 or open == 0"}]),
            "cancel_rest": self._random.choice([True, False]),
            "concurrency": self._random.randint(1, 3),
        }

    def _patience(self) -> Step:
        more: Step = {"on": {"error": "next"}}
        if self._random.random() < 0.2:
            more = {"timeout": f"{self._random.randint(1, 4)}h", "on": {**more["on"], "timeout": "next"}}
        if self._random.random() < 0.3:
            classes = self._random.choice([["*"], ["branch"], ["timeout", "expression"]])
            more["retry"] = {
                "max": self._random.randint(1, 2),
                "delay": self._random.choice(["20m", "1h"]),
                "on": classes,
            }
        return more

    def _loop(self, depth: int) -> dict[str, Any]:
        rounds: list[dict[str, Any]] = [
            {"times": self._random.randint(0, 3)},
            {"over": [1, "x"], "as": "thing"},
            {"until": "score > 3 or index >= 2", "max": 5},
        ]
        return {
            **self._random.choice(rounds),
            "tolerate": self._random.choice([0, 1, "50%"]),
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
            if self._random.random() < 0.2:
                branch["optional"] = True
            branches.append(branch)
        return {"branches": branches}


class Steady(HttpSink):
    """A system whose answer depends on what it is asked alone; some questions it answers when they are repeated."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._asked: Counter[str] = Counter()

    def is_new(self, asked: str) -> bool:
        """Whether this question counts as asked for the first time."""
        self._asked[asked] += 1
        return self._asked[asked] == 1

    def answer_to(self, path: str, headers: Any, body: bytes) -> Answer:
        number = crc32(path.encode())
        new = self.is_new(str(headers.get("webhook-id", path)))
        match number % 6:
            case 0:
                return Answer(404)
            case 1:
                return Answer(503)
            case 2 if new:
                return Answer(503)
        return Answer(body=json.dumps({"score": number % 5}).encode())


def furnish(team: Team) -> None:
    """What steps may name."""
    maya, _ = User.objects.get_or_create(username="maya", defaults={"email": "maya@x.org"})
    Member.objects.create(team=team, user=maya, role="owner")
    RecordType.objects.create(team=team, key="visit", label="Visit", fields=OWN_FIELDS)
    Segment.objects.create(team=team, key="warm", name="Warm")
    active(team, CALLED, key="called", triggers=[], variables=VARIABLES)
    active(team, BESIDE, key="beside", triggers=[])


def published(team: Team, seed: int, *, url: str) -> Pipeline:
    """The random pipeline of a seed, which its own people enter."""
    steps, more = Documents(seed, url=url).whole()
    entry = {
        "type": "created",
        "model": "contacts.contact",
        "automatic": True,
        "where": f"contact.last_name == 'P{seed}'",
    }
    return active(team, steps, key=f"p{seed}", triggers=[entry], **more)


def enter(team: Team, seeds: Sequence[int]) -> None:
    people = [
        {
            "first_name": f"C{n}", "last_name": f"P{seed}", "job_title": "Boss" if n % 2 else "Clerk",
            "email": f"c{n}.p{seed}@{team.slug}.example", "phone": f"+49151{n:04}{seed:05}",
        }
        for seed in seeds
        for n in range(PEOPLE)
    ]  # fmt: skip
    bulk_create_contacts(team=team, items=people)


def happen(team: Team, hour: int, subjects: Sequence[int]) -> None:
    """What comes from outside in this hour: an event for everybody, and some answers of people."""
    if hour in HAPPENINGS:
        name, payload = HAPPENINGS[hour]
        kind = ContentType.objects.get_for_model(Contact).pk
        publish_all([Fact(team.pk, name, kind, subject, payload) for subject in subjects])
    rows = HumanTask.objects.filter(status__in=OPEN, task__team=team).select_related("task", "run__step")
    for row in rows.order_by("pk"):
        asked = row.run.step.key if row.run.step is not None else "", subjects.index(row.run.subject_id or 0), hour
        _answer(row, turn=crc32(str(asked).encode()) % 4)


def _answer(row: HumanTask, *, turn: int) -> None:
    """Half of what is asked is answered in the hour."""
    if turn < 2:
        row.task.refresh_from_db()
        outcome = ("yes", "no")[turn]
        worker = worker_of_member(user=row.task.assignee, team=row.task.team)
        answer_form(task=row.task, worker=worker, outcome=outcome, values={"points": turn + 2})


def open_children_are_right() -> bool:
    """Whether every run that is not over knows how many inside it are not over."""
    mine = Q(children__finished_at=None, children__parent_seq=F("seq"), children__isnull=False)
    counted = PipelineRun.objects.filter(finished_at=None).annotate(really=Count("children", filter=mine))
    return not counted.exclude(open_children=F("really")).exists()


def next_try(*, after: datetime, before: datetime) -> datetime | None:
    """When the next of the calls that failed is tried again."""
    queued = Effect.objects.filter(status=Effect.Status.QUEUED, available_at__gt=after, available_at__lt=before)
    return queued.order_by("available_at").values_list("available_at", flat=True).first()


def results(pipeline: Pipeline, steps: list[Step]) -> Rows:
    """How every run of every contact ended that something is asked of: when, as what, and what it remembers.

    A row begins with the number of the contact, whether the run is its own or one inside it, and where inside.
    """
    runs = asked_of(pipeline, steps)
    first = min(run.subject_id or 0 for run in runs)
    found = []
    for run in runs:
        kept = getattr(run, "context", None)
        place = (run.subject_id or 0) - first, run.parent_id is None, run.parent_seq or 0, run.slot or 0
        ending = run.status, str(run.reason), str(run.finished_at)
        # Whoever remembers nothing may have a row for it or none.
        found.append((*place, *ending, str((kept.vars if kept is not None else None) or {})))
    return sorted(found)


def asked_of(pipeline: Pipeline, steps: list[Step]) -> list[PipelineRun]:
    """The runs whose ending is no race, in the order in which they came to be.

    Nothing is asked of branches that were called off, or that ended at the very moment at which their block needed no
    more of them: which of them was first is a race. How the run itself goes on is none, and neither is the time of
    a block: what was due before it ends goes first, and what was not does not go.
    """
    runs = PipelineRun.objects.filter(pipeline=pipeline)
    rows = list(runs.select_related("context").order_by("pk"))
    over = moments(runs, [step["key"] for step in every_step(steps) if may_end_early(step)])
    # A step that ends everything ends what runs beside it at any point of that moment.
    ends = {
        run.pk: run.finished_at
        for run in rows
        if any(step.get("with", {}).get("terminate") for step in every_step(steps))
    }
    lost: set[int] = set()
    found = []
    for run in rows:
        if run.parent_id is not None and (
            run.parent_id in lost
            or run.status == RunStatus.CANCELLED
            or run.finished_at in (over.get((run.parent_id, run.parent_seq)), ends.get(run.root_id or 0))
        ):
            lost.add(run.pk)
        else:
            found.append(run)
    return found


def moments(runs: Any, keys: Sequence[str]) -> dict[tuple[int | None, int | None], Any]:
    """When visits of these steps were over, by run and number of the visit."""
    steps = PipelineStep.objects.filter(key__in=keys, pipeline__in=runs.values("pipeline"))
    visits = StepExecution.objects.filter(run_id__in=runs.values("pk"), step_id__in=steps.values("pk"))
    return {(visit.run_id, visit.seq): visit.at for visit in visits.order_by("pk")}


def may_end_early(step: Step) -> bool:
    given = step.get("with", {})
    fails = given.get("on_branch_error") == "fail"
    return step["type"] in ("parallel", "loop") and (given.get("join") != "all" or fails)


def kinds_left_out(used: set[str]) -> set[str]:
    """Kinds that none of the documents had; code counts where it can run."""
    return {kind for kind in kinds() if kind != "code" or running.installed()} - used
