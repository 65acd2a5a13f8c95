"""One story of one subject, played to its end in a second: the timetable, every message and every why."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from crm.models import Team
from pipelines.definition.layout import places
from pipelines.engine.clock import pretend
from pipelines.engine.deliver import delivered_by
from pipelines.engine.enroll import enroll
from pipelines.models import EnrollmentDecision, Event, Pipeline, PipelineRun, Trigger
from pipelines.operations import InvalidDocument, validate_document
from pipelines.simulation.play import Outside, play
from pipelines.simulation.reading import read_only
from pipelines.simulation.report import notifications_of, report_of
from pipelines.simulation.scenario import BY_HAND, Happening, Scenario, ScenarioError
from pipelines.simulation.scratch import scratch
from pipelines.simulation.twin import OutsideTwin, check_stubs
from pipelines.simulation.world import World, install, make_sample, read_world, subject_kind
from pipelines.subjects import SubjectType

SECONDS = 20.0
SAMPLE: Mapping[str, Any] = {
    "first_name": "Sam",
    "last_name": "Sample",
    "email": "sam@example.com",
    "name": "Sample Ltd",
    "title": "Sample",
}
NOT_ENROLLED = "not_enrolled"


def simulate(
    *, team: Team, document: Mapping[str, Any], scenario: Scenario, seconds: float = SECONDS
) -> dict[str, Any]:
    """The execution report of engine.md section 17; nothing is sent and nothing is written.

    Raises InvalidDocument with every problem, and ScenarioError for a story that cannot be played.
    """
    with read_only():
        check(document, team)
        ids = [scenario.subject] if isinstance(scenario.subject, int) else []
        world = read_world(team=team, document=document, subject_ids=ids)
    check_names(document, scenario)
    with scratch(), pretend(scenario.start):
        world.settle()
        pipeline, triggers = install(world=world, document=document)
        subject_id = subject_in(document, scenario, world)
        return _played(pipeline, way_in(scenario, triggers), subject_id, scenario, seconds)


def check(document: Mapping[str, Any], team: Team) -> None:
    """Raises InvalidDocument when the document could not be published."""
    problems = validate_document(document, team)
    if any(problem.severity == "error" for problem in problems):
        raise InvalidDocument(problems)


def check_names(document: Mapping[str, Any], scenario: Scenario) -> None:
    """Raises ScenarioError for answers of steps that the document does not have."""
    keys = step_keys(document)
    check_stubs(scenario.stubs, keys=keys)
    for key in scenario.responses:
        if key not in keys:
            raise ScenarioError(f"responses.{key}", f"there is no such step; there are {', '.join(keys)}")


def step_keys(document: Mapping[str, Any]) -> list[str]:
    return [place.key for place in places(document)]


def subject_in(document: Mapping[str, Any], scenario: Scenario, world: World) -> int | None:
    """The id of the subject in the database in memory; samples are made there."""
    kind = subject_kind(document)
    if kind is None:
        if scenario.subject is not None:
            raise ScenarioError("subject", "this pipeline is about no record: leave the subject out")
        return None
    if isinstance(scenario.subject, int):
        return scenario.subject
    values = scenario.subject if scenario.subject is not None else _our_sample(kind)
    return int(make_sample(kind, values, team=world.team).pk)


def _our_sample(kind: SubjectType) -> dict[str, Any]:
    names = {field.name for field in kind.model._meta.concrete_fields} - (
        {"name"} if "first_name" in kind.plain else set()
    )
    return {name: value for name, value in SAMPLE.items() if name in names}


def way_in(scenario: Scenario, triggers: Mapping[str, Trigger]) -> Trigger | None:
    """The trigger that lets the subject in: the one that is named, else the first that fits; None is by hand."""
    if scenario.entry == BY_HAND:
        return None
    rows = list(triggers.values())
    if scenario.entry:
        if scenario.entry not in triggers:
            known = ", ".join([key for key in triggers if key] + [BY_HAND])
            raise ScenarioError("entry", f"there is no trigger '{scenario.entry}'; there are {known}")
        return triggers[scenario.entry]
    if scenario.trigger:
        named = [row for row in rows if row.kind in (Trigger.Kind.EVENT, Trigger.Kind.WEBHOOK)]
        rows = named + rows
    return rows[0] if rows else None


def _played(
    pipeline: Pipeline, trigger: Trigger | None, subject_id: int | None, scenario: Scenario, seconds: float
) -> dict[str, Any]:
    result = enroll(
        pipeline=pipeline, subject_ids=[subject_id], trigger=trigger, payload=scenario.trigger,
        variables=scenario.variables, idempotency_key="simulation", now=scenario.start,
    )  # fmt: skip
    if not result.enrolled:
        return _refused(scenario)
    outside, twin = Outside(), OutsideTwin(scenario.stubs)
    for happening in scenario.events:
        outside.at(scenario.start + timedelta(seconds=happening.after), _event(pipeline, subject_id, happening))
    with delivered_by(twin):
        warnings = play(
            start=scenario.start, until=scenario.until, outside=outside, after_each=lambda now: None, seconds=seconds
        )
    run = PipelineRun.objects.get(pk=result.enrolled[0])
    report = report_of(run)
    report["notifications"] = notifications_of([run.pk])
    report["warnings"] = [*warnings, *_assumed(twin)]
    return report


def _event(pipeline: Pipeline, subject_id: int | None, happening: Happening) -> Any:
    def publish(now: datetime) -> None:
        Event.objects.create(
            team_id=pipeline.team_id, type=happening.type, subject_type_id=pipeline.subject_type_id,
            subject_id=subject_id, payload=dict(happening.payload), occurred_at=now,
        )  # fmt: skip

    return publish


def _refused(scenario: Scenario) -> dict[str, Any]:
    """The report of a subject that its trigger kept out, with the clauses that said no."""
    decision = EnrollmentDecision.objects.order_by("-pk").first()
    return {
        "success": False,
        "status": NOT_ENROLLED,
        "reason": decision.get_decision_display() if decision else "",
        "why": (decision.why or []) if decision else [],
        "started_at": scenario.start,
        "finished_at": scenario.start,
        "virtual_duration": 0.0,
        "next": None,
        "steps": [],
        "context": {"vars": {}, "outputs": {}},
        "errors": [],
        "messages": [],
        "notifications": [],
        "warnings": [],
    }


def _assumed(twin: OutsideTwin) -> list[str]:
    return [
        f"{key}: nobody said what its {kind} call answers, so it was taken to go well; give a stub to try others."
        for key, kind in sorted(twin.assumed.items())
    ]
