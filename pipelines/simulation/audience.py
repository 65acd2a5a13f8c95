"""A thousand real subjects through a pipeline at once: the funnel, and the calendar of what would be sent when."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count

from crm.models import Message, Team
from pipelines.definition.conditions import Condition, ConditionError, compile_condition
from pipelines.definition.program import Program
from pipelines.engine.clock import engine_now
from pipelines.models import EnrollmentDecision, PipelineRun, PipelineStep, StepExecution
from pipelines.simulation.reading import read_only
from pipelines.simulation.report import NAMES
from pipelines.simulation.scenario import Scenario, ScenarioError, is_id
from pipelines.simulation.stage import Stage, staged
from pipelines.simulation.world import subject_kind
from pipelines.states import RunStatus
from pipelines.subjects import SubjectType

LARGEST = 1_000
# So many records are looked at before a condition is said to fit too few.
LOOKED_AT = 20_000
SECONDS = 60.0
# A worker looks every minute; more often would cost a pass for every contact.
GRAIN = timedelta(minutes=1)
# Steps that reach people or other systems without being messages.
REACHING = frozenset({"call_api", "create_task", "human_task", "notify"})


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is simulated: these records, or the newest ones that meet a condition."""

    ids: tuple[int, ...] = ()
    where: Any = None
    limit: int = LARGEST


def audience_of(data: Any, *, at: str = "audience") -> Audience:
    """Read an audience as the API writes it; raises ScenarioError with its path."""
    if not isinstance(data, Mapping):
        raise ScenarioError(at, 'give {"ids": [...]}, {"where": condition} or {"limit": 200}')
    unknown = sorted(set(data) - {"ids", "where", "limit"})
    if unknown:
        raise ScenarioError(f"{at}.{unknown[0]}", "is not known; there are ids, where, limit")
    ids = data.get("ids") or []
    if not isinstance(ids, list) or not all(map(is_id, ids)):
        raise ScenarioError(f"{at}.ids", "must be a list of ids")
    limit = data.get("limit", LARGEST)
    if type(limit) is not int or not 1 <= limit <= LARGEST or len(ids) > LARGEST:
        raise ScenarioError(f"{at}.limit", f"must be between 1 and {LARGEST:,}")
    return Audience(tuple(dict.fromkeys(ids)), data.get("where"), limit)


def simulate_audience(
    *,
    team: Team,
    document: Mapping[str, Any],
    audience: Audience,
    scenario: Scenario,
    seconds: float = SECONDS,
    beside: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Funnel and calendar of up to 1,000 subjects; times are whole minutes, as of a worker that looks every minute.

    Raises InvalidDocument and ScenarioError as `simulate` does.
    """
    ids = _chosen(team, document, audience, scenario)
    with staged(team=team, document=document, scenario=scenario, subject_ids=ids, beside=beside) as stage:
        result = stage.enroll(ids) if ids else None
        warnings = stage.play(ids, seconds=seconds, grain=GRAIN) if result and result.enrolled else []
        return {
            "subjects": len(ids),
            "enrolled": len(result.enrolled) if result else 0,
            "started_at": scenario.start,
            "until": scenario.until,
            **_refusals(),
            **_ends(stage),
            "funnel": _funnel(stage),
            "calendar": _calendar(team),
            "errors": _errors(),
            "warnings": warnings,
        }


def _chosen(team: Team, document: Mapping[str, Any], audience: Audience, scenario: Scenario) -> list[int]:
    kind = subject_kind(document)
    if kind is None:
        raise ScenarioError("audience", "this pipeline is about no record: simulate one run instead")
    if audience.ids:
        return list(audience.ids)
    with read_only():
        return _fitting(team, kind, audience, _condition(audience.where))


def _condition(where: Any) -> Condition | None:
    if where in (None, "", [], {}):
        return None
    try:
        return compile_condition(where)
    except ConditionError as error:
        raise ScenarioError("audience.where", str(error)) from None


def _fitting(team: Team, kind: SubjectType, audience: Audience, condition: Condition | None) -> list[int]:
    """Ids of the newest records that meet the condition, looked at a thousand at a time."""
    rows = kind.records(team.pk).order_by("-pk").values_list("pk", flat=True)
    if condition is None:
        return list(rows[: audience.limit])
    found: list[int] = []
    for start in range(0, LOOKED_AT, LARGEST):
        ids = list(rows[start : start + LARGEST])
        subjects = kind.load(ids)
        found += [pk for pk in ids if pk in subjects and _meets(condition, kind, subjects[pk])]
        if len(found) >= audience.limit or len(ids) < LARGEST:
            break
    return found[: audience.limit]


def _meets(condition: Condition, kind: SubjectType, subject: Mapping[str, Any]) -> bool:
    verdict = condition.evaluate({"subject": subject, kind.name: subject, "now": engine_now()})
    return verdict.met and not verdict.error


def _refusals() -> dict[str, Any]:
    counts = Counter(row.get_decision_display() for row in EnrollmentDecision.objects.all())
    return {"not_enrolled": dict(counts)}


def _ends(stage: Stage) -> dict[str, Any]:
    """How many runs end how and why."""
    roots = PipelineRun.objects.filter(pipeline=stage.pipeline, parent=None)
    rows = roots.values_list("status", "reason").annotate(n=Count("pk")).order_by()
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for status, reason, count in rows:
        statuses[RunStatus(status).name.lower()] += count
        if reason:
            reasons[reason] += count
    return {"statuses": dict(statuses), "reasons": dict(reasons)}


def _funnel(stage: Stage) -> list[dict[str, Any]]:
    """Visits, subjects and outcomes of every step, in the order of the document."""
    version = stage.pipeline.current_version
    program = Program.load(version.program if version else {})
    rows = StepExecution.objects.exclude(event=StepExecution.Event.NOTE)
    subjects = dict(rows.values_list("step_id").annotate(n=Count("run_id", distinct=True)).order_by())
    outcomes: dict[int, Counter[str]] = {}
    for step_id, event, outcome, count in (
        rows.values_list("step_id", "event", "outcome").annotate(n=Count("pk")).order_by()
    ):
        outcomes.setdefault(step_id, Counter())[outcome or NAMES[event]] += count
    waiting = dict(
        PipelineRun.objects.filter(finished_at=None).values_list("step_id").annotate(n=Count("pk")).order_by()
    )
    return [
        {
            "key": step.key,
            "name": step.name or step.key,
            "kind": step.kind,
            "subjects": subjects.get(step.id, 0),
            "visits": sum(outcomes.get(step.id, Counter()).values()),
            "outcomes": dict(outcomes.get(step.id, Counter())),
            "waiting": waiting.get(step.id, 0),
        }
        for step in program.steps
    ]


def _calendar(team: Team) -> list[dict[str, Any]]:
    """How much each step sends in which hour of the team's zone."""
    steps = {step.pk: step for step in PipelineStep.objects.all()}
    counts: Counter[tuple[Any, int, str]] = Counter()
    zone = ZoneInfo(team.timezone or "UTC")
    for at, step_id, channel in Message.objects.exclude(state=Message.State.SKIPPED).values_list(
        "created_at", "step_id", "channel"
    ):
        counts[_hour(at, zone), step_id or 0, channel] += 1
    reaching = [pk for pk, step in steps.items() if step.action_type in REACHING]
    done = StepExecution.objects.filter(step_id__in=reaching, event=StepExecution.Event.COMPLETED)
    for at, step_id in done.values_list("finished_at", "step_id"):
        counts[_hour(at, zone), step_id, steps[step_id].action_type] += 1
    return [
        {"at": hour, "step": steps[step_id].key if step_id in steps else "", "kind": kind, "count": count}
        for (hour, step_id, kind), count in sorted(counts.items())
    ]


def _hour(at: Any, zone: ZoneInfo) -> Any:
    return at.astimezone(zone).replace(minute=0, second=0, microsecond=0)


def _errors() -> list[dict[str, Any]]:
    keys = dict(PipelineStep.objects.values_list("pk", "key"))
    rows: Sequence[Any] = list(
        StepExecution.objects.filter(event=StepExecution.Event.FAILED)
        .values_list("step_id", "error")
        .annotate(n=Count("pk"))
        .order_by("-n")[:50]
    )
    return [{"step": keys.get(step_id, ""), "message": error or "", "count": count} for step_id, error, count in rows]
