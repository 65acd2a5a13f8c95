"""One story of one subject, played to its end in a second: the timetable, every message and every why."""

from collections.abc import Mapping, Sequence
from typing import Any

from crm.models import Team
from pipelines.models import EnrollmentDecision, PipelineRun
from pipelines.simulation.report import notifications_of, report_of
from pipelines.simulation.scenario import Scenario
from pipelines.simulation.stage import staged, subject_on
from pipelines.subjects import subject_type

SECONDS = 20.0
NOT_ENROLLED = "not_enrolled"


def simulate(
    *,
    team: Team,
    document: Mapping[str, Any],
    scenario: Scenario,
    seconds: float = SECONDS,
    beside: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The execution report of engine.md section 17; nothing is sent and nothing is written.

    Documents `beside` are those that come into the team together with this one, which may start them.

    Raises InvalidDocument with every problem, and ScenarioError for a story that cannot be played.
    """
    ids = [scenario.subject] if isinstance(scenario.subject, int) else []
    with staged(team=team, document=document, scenario=scenario, subject_ids=ids, beside=beside) as stage:
        subject_id = subject_on(stage)
        result = stage.enroll([subject_id])
        if not result.enrolled:
            return _refused(scenario)
        warnings = stage.play([subject_id], seconds=seconds)
        run = PipelineRun.objects.get(pk=result.enrolled[0])
        return {
            **report_of(run),
            "subject": _subject(run),
            "notifications": notifications_of([run.pk]),
            "warnings": warnings,
        }


def _subject(run: PipelineRun) -> dict[str, Any] | None:
    """The record as the run leaves it."""
    if run.subject_type_id is None or run.subject_id is None:
        return None
    return subject_type(run.subject_type_id).load([run.subject_id]).get(run.subject_id)


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
        "subject": None,
        "notifications": [],
        "warnings": [],
    }
