"""The stage of a simulation: the team, the pipeline and its subjects in the database in memory."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from crm.models import Team
from pipelines.definition.layout import every_place, variable_names
from pipelines.definition.variables import undeclared
from pipelines.engine.clock import pretend
from pipelines.engine.deliver import delivered_by
from pipelines.engine.enroll import EnrollResult, enroll
from pipelines.engine.events import Fact, publish_all
from pipelines.models import Pipeline, Trigger
from pipelines.operations import InvalidDocument, validate_document
from pipelines.simulation.people import People
from pipelines.simulation.play import Outside, play
from pipelines.simulation.reading import read_only
from pipelines.simulation.samples import make_records, make_sample, own_sample
from pipelines.simulation.scenario import BY_HAND, Happening, Scenario, ScenarioError
from pipelines.simulation.scratch import scratch
from pipelines.simulation.together import install_beside, started_by
from pipelines.simulation.twin import OutsideTwin, check_stubs
from pipelines.simulation.world import World, install, read_world, subject_kind
from pipelines.subjects import SubjectType

SAMPLE: Mapping[str, Any] = {
    "first_name": "Sam",
    "last_name": "Sample",
    "email": "sam@example.com",
    "name": "Sample Ltd",
    "title": "Sample",
}


@dataclass(slots=True)
class Stage:
    """What stands ready in the database in memory."""

    world: World
    document: Mapping[str, Any]
    scenario: Scenario
    pipeline: Pipeline
    triggers: dict[str, Trigger]

    def enroll(self, subject_ids: Sequence[int | None]) -> EnrollResult:
        """Let subjects in as the scenario says, by a trigger or by hand."""
        return enroll(
            pipeline=self.pipeline, subject_ids=subject_ids, trigger=_way_in(self.scenario, self.triggers),
            payload=self.scenario.trigger, variables=self.scenario.variables,
            idempotency_key="simulation", now=self.scenario.start,
        )  # fmt: skip

    def play(self, subject_ids: Sequence[int | None], *, seconds: float, grain: timedelta = timedelta(0)) -> list[str]:
        """Let the engine work until everything is over; the warnings that came up."""
        outside, twin = Outside(), OutsideTwin(self.scenario.stubs)
        for happening in self.scenario.events:
            moment = self.scenario.start + timedelta(seconds=happening.after)
            outside.at(moment, _event(self.pipeline, subject_ids, happening))
        people = People(self.scenario.responses, outside)
        with delivered_by(twin):
            warnings = play(
                start=self.scenario.start, until=self.scenario.until, outside=outside,
                after_each=people.look, seconds=seconds, grain=grain,
            )  # fmt: skip
        return [*warnings, *self.world.warnings, *_assumed(twin)]


@contextmanager
def staged(
    *,
    team: Team,
    document: Mapping[str, Any],
    scenario: Scenario,
    subject_ids: Collection[int],
    beside: Sequence[Mapping[str, Any]] = (),
) -> Iterator[Stage]:
    """Read what is needed, then stand in the database in memory at the time the scenario begins.

    Documents `beside` that this one starts stand there as well, in place of what the team has under their keys.
    Raises InvalidDocument with every problem, and ScenarioError for a story that cannot be played.
    """
    with read_only():
        started = started_by(document, beside)
        problems = validate_document(document, team, beside=[str(each["key"]) for each in started])
        if any(problem.severity == "error" for problem in problems):
            raise InvalidDocument(problems)
        world = read_world(team=team, document=document, subject_ids=subject_ids, beside=started)
    _check_names(document, scenario)
    with scratch(), pretend(scenario.start):
        world.settle()
        install_beside(world=world, document=document, documents=started)
        pipeline, triggers = install(world=world, document=document)
        make_records(scenario.records, team=team)
        yield Stage(world, document, scenario, pipeline, triggers)


def _check_names(document: Mapping[str, Any], scenario: Scenario) -> None:
    keys = [place.key for place in every_place(document)]
    check_stubs(scenario.stubs, keys=keys)
    for key in scenario.responses:
        if key not in keys:
            raise ScenarioError(f"responses.{key}", f"there is no such step; there are {', '.join(keys)}")
    for name, sentence in undeclared(scenario.variables, variable_names(document)).items():
        raise ScenarioError(f"variables.{name}", sentence)


def subject_on(stage: Stage) -> int | None:
    """The id of the subject of a story; samples are made here."""
    kind, wanted = subject_kind(stage.document), stage.scenario.subject
    if kind is None:
        if wanted is not None:
            raise ScenarioError("subject", "this pipeline is about no record: leave the subject out")
        return None
    if isinstance(wanted, int):
        return wanted
    values = wanted if wanted is not None else our_sample(kind, stage.world.team)
    return int(make_sample(kind, values, team=stage.world.team).pk)


def our_sample(kind: SubjectType, team: Team) -> dict[str, Any]:
    """Values of a record for those who give none."""
    if kind.record_type:
        return own_sample(kind.record_type, team=team)
    names = {column.name for column in kind.model._meta.concrete_fields}
    if "first_name" in names:
        names.discard("name")
    return {name: value for name, value in SAMPLE.items() if name in names}


def _way_in(scenario: Scenario, triggers: Mapping[str, Trigger]) -> Trigger | None:
    """The trigger that is named, else the first that fits; None is by hand."""
    if scenario.entry == BY_HAND:
        return None
    rows = list(triggers.values())
    if scenario.entry:
        if scenario.entry not in triggers:
            known = ", ".join([key for key in triggers if key] + [BY_HAND])
            raise ScenarioError("entry", f"there is no trigger '{scenario.entry}'; there are {known}")
        return triggers[scenario.entry]
    if scenario.trigger:
        rows = [row for row in rows if row.kind in (Trigger.Kind.EVENT, Trigger.Kind.WEBHOOK)] + rows
    return rows[0] if rows else None


def _event(pipeline: Pipeline, subject_ids: Sequence[int | None], happening: Happening) -> Callable[[datetime], None]:
    def happen(now: datetime) -> None:
        facts = [
            Fact(pipeline.team_id, happening.type, pipeline.subject_type_id, subject_id, happening.payload)
            for subject_id in subject_ids
        ]
        publish_all(facts, now=now)

    return happen


def _assumed(twin: OutsideTwin) -> list[str]:
    return [
        f"{key}: nobody said what its {kind} call answers, so it was taken to go well; give a stub to try others."
        for key, kind in sorted(twin.assumed.items())
    ]
