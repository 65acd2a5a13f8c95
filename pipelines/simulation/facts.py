"""What the database knows about one record and the pipelines it may be in: what explanations are told from."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model, Q, QuerySet

from crm.models import Message, Team
from pipelines.definition.passing import may_come_to
from pipelines.definition.program import Program
from pipelines.engine.programs import programs
from pipelines.models import EnrollmentDecision, Pipeline, PipelineRun, PipelineStep, StepExecution, Trigger
from pipelines.states import RunStatus
from pipelines.subjects import SubjectType, subject_of_record

RUNS = 20
VISITS = 2_000
PIPELINES = 50
SENDING = "send_"


@dataclass(slots=True)
class Facts:
    """What the database knows about one record and one pipeline, newest first."""

    pipeline: Pipeline
    steps: dict[int, PipelineStep] = field(default_factory=dict)
    # Steps whose messages are asked about.
    wanted: set[int] = field(default_factory=set)
    runs: list[PipelineRun] = field(default_factory=list)
    visits: dict[int, list[StepExecution]] = field(default_factory=lambda: defaultdict(list))
    messages: dict[int, list[Message]] = field(default_factory=lambda: defaultdict(list))
    decisions: list[EnrollmentDecision] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    now: list[dict[str, Any]] = field(default_factory=list)
    # Runs on their way that cannot come to a step that is asked about any more.
    past: set[int] = field(default_factory=set)
    # By version, of the runs that may have been led past such a step.
    programs: dict[int, Program] = field(default_factory=dict)


def left_off(*, team: Team, subject: Model) -> int:
    """How many pipelines an explanation that asks about all of them does not reach."""
    kind = subject_of_record(subject)
    return max(0, _about(team, kind).count() - PIPELINES) if kind is not None else 0


def _about(team: Team, kind: SubjectType) -> QuerySet[Pipeline]:
    return Pipeline.objects.filter(team=team, subject_type_id=kind.content_type_id, subject_record=kind.record_type)


def read_facts(team: Team, kind: SubjectType, subject: Model, pipeline: Pipeline | None, template: str) -> list[Facts]:
    """Of each pipeline about such records what there is, in a number of statements that does not depend on it."""
    rows = _about(team, kind)
    if pipeline is not None:
        rows = rows.filter(pk=pipeline.pk)
    if template:
        rows = rows.filter(steps__data__template=template).distinct()
    found = {row.pk: Facts(row) for row in rows.order_by("name")[:PIPELINES]}
    for step in PipelineStep.objects.filter(pipeline__in=found):
        facts = found[step.pipeline_id]
        facts.steps[step.pk] = step
        if step.data.get("template") == template if template else step.action_type.startswith(SENDING):
            facts.wanted.add(step.pk)
    for trigger in Trigger.objects.filter(pipeline__in=found).select_related("pipeline").order_by("position", "id"):
        found[trigger.pipeline_id].triggers.append(trigger)
    about = {"subject_type_id": kind.content_type_id, "subject_id": subject.pk}
    runs = PipelineRun.objects.entered().filter(pipeline__in=found, **about).select_related("version", "trigger")
    kept = list(runs.defer("version__document", "version__program").order_by("-pk")[: RUNS * max(1, len(found))])
    for run in kept:
        found[run.pipeline_id].runs.append(run)
    _read_story(found, kept)
    for decision in EnrollmentDecision.objects.filter(pipeline__in=found, **about).order_by("-pk")[: RUNS * 10]:
        found[decision.pipeline_id].decisions.append(decision)
    _find_past(found.values(), template)
    return list(found.values())


def _read_story(found: Mapping[int, Facts], runs: Sequence[PipelineRun]) -> None:
    """Visits and messages of the runs and of the runs inside them, by their root."""
    homes = {run.pk: run.pipeline_id for run in runs}
    visits = StepExecution.objects.filter(Q(run_id__in=homes) | Q(root_id__in=homes)).order_by("-id")[:VISITS]
    roots: dict[int, int] = {run.pk: run.pk for run in runs}
    for visit in sorted(visits, key=lambda each: each.pk):
        root = visit.root_id or visit.run_id
        roots[visit.run_id] = root
        if root in homes:
            found[homes[root]].visits[root].append(visit)
    for message in Message.objects.filter(run_id__in=roots).order_by("-pk"):
        root = roots[message.run_id or 0]
        found[homes[root]].messages[root].append(message)


def _find_past(found: Iterable[Facts], template: str) -> None:
    """Read the ways of runs that came to their end, and note those on their way that cannot come to a step of one
    template any more; one statement for all programs.
    """
    runs = [(facts, run) for facts in found if facts.wanted for run in facts.runs if _may_be_past(run, template)]
    loaded = programs({run.version_id for _, run in runs})
    for facts, run in runs:
        program = facts.programs[run.version_id] = loaded[run.version_id].program
        if run.finished_at is None and not may_come_to(facts.wanted, standing=run.step_id or 0, program=program):
            facts.past.add(run.pk)


def _may_be_past(run: PipelineRun, template: str) -> bool:
    return run.status == RunStatus.COMPLETED or bool(template and run.finished_at is None and run.step_id)
