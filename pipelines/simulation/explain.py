"""Why someone got, or did not get, a message: the first answer that fits, with the values as they were."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Model, Q

from crm.models import Message, Team
from pipelines.circuits import is_kept
from pipelines.engine.clock import engine_now
from pipelines.engine.entry import Occasion
from pipelines.models import EnrollmentDecision, Pipeline, PipelineRun, PipelineStep, StepExecution, Trigger
from pipelines.personal import personal_names, told_without_personal
from pipelines.simulation.triggers import verdicts
from pipelines.states import RunStatus
from pipelines.subjects import SubjectType, subject_of_record

RUNS = 20
VISITS = 2_000
PIPELINES = 50
SENDING = "send_"
LEFT = {
    Message.State.SENT: ("sent", "was sent"),
    Message.State.QUEUED: ("on_its_way", "waits to be sent"),
    Message.State.SENDING: ("on_its_way", "is being handed over"),
    Message.State.UNCERTAIN: ("uncertain", "was handed over, and nobody knows whether it arrived"),
    Message.State.FAILED: ("failed", "could not be sent"),
    Message.State.SKIPPED: ("skipped", "was not sent"),
    Message.State.CANCELLED: ("skipped", "was called off"),
}
Event_ = StepExecution.Event


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


def explain(
    *, team: Team, subject: Model, pipeline: Pipeline | None = None, template: str = "", now: datetime | None = None
) -> list[dict[str, Any]]:
    """One answer per pipeline: `{pipeline, verdict, sentence, at, run, step, why, path, now}`.

    Narrowed to one pipeline or to the steps that send one message template. The number of statements does not
    depend on how much there is.
    """
    kind = subject_of_record(subject)
    if kind is None:
        return []
    found = _facts(team, kind, subject, pipeline, template)
    data = kind.load([subject.pk]).get(subject.pk, {})
    _judge_now(found, kind, subject.pk, data, now or engine_now())
    names = personal_names(team_id=team.pk)
    return [told_without_personal(_answer(facts, template), names=names) for facts in found]


def _facts(team: Team, kind: SubjectType, subject: Model, pipeline: Pipeline | None, template: str) -> list[Facts]:
    rows = Pipeline.objects.filter(team=team, subject_type_id=kind.content_type_id, subject_record=kind.record_type)
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
    runs = PipelineRun.objects.filter(pipeline__in=found, parent=None, **about).select_related("version", "trigger")
    kept = list(runs.defer("version__document", "version__program").order_by("-pk")[: RUNS * max(1, len(found))])
    for run in kept:
        found[run.pipeline_id].runs.append(run)
    _read_story(found, kept)
    for decision in EnrollmentDecision.objects.filter(pipeline__in=found, **about).order_by("-pk")[: RUNS * 10]:
        found[decision.pipeline_id].decisions.append(decision)
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


def _judge_now(
    found: Iterable[Facts], kind: SubjectType, subject_id: int, data: Mapping[str, Any], now: datetime
) -> None:
    every = [trigger for facts in found for trigger in facts.triggers]
    answers = verdicts(every, kind, subject_id, data, Occasion(now, key="explain"))
    for facts in found:
        facts.now = [{"trigger": trigger.key, "kind": trigger.get_kind_display(), **answers[trigger.pk]}
                     for trigger in facts.triggers]  # fmt: skip


def _answer(facts: Facts, template: str) -> dict[str, Any]:
    """The first that fits, in this order: sent, skipped, on its way, led elsewhere, ended, kept out, never asked."""
    answer = (
        _sent(facts) or _skipped(facts) or _standing(facts) or _elsewhere(facts) or _ended(facts)
        or _kept_out(facts) or _never_asked(facts)
    )  # fmt: skip
    return {
        "pipeline": facts.pipeline.key,
        "name": facts.pipeline.name,
        "template": template,
        "verdict": "", "sentence": "", "at": None, "run": None, "step": "", "why": [], "path": [], "entered": None,
        **answer,
        "now": facts.now,
    }  # fmt: skip


def _sent(facts: Facts) -> dict[str, Any] | None:
    for run in facts.runs:
        for message in facts.messages[run.pk]:
            if message.step_id not in facts.wanted or message.state in (Message.State.SKIPPED, Message.State.CANCELLED):
                continue
            verdict, words = LEFT[Message.State(message.state)]
            at = message.sent_at or message.created_at
            reason = f" ({message.error or message.reason})" if message.error or message.reason else ""
            return {
                "verdict": verdict,
                "sentence": f"“{message.subject}” {words} to {message.recipient} by ‘{_name(facts, message.step_id)}’"
                f"{reason}.",
                "at": at,
                "step": _key(facts, message.step_id),
                "message": message.pk,
                "why": _why_there(facts, run, message.step_id),
                **_of_run(facts, run),
            }
    return None


def _skipped(facts: Facts) -> dict[str, Any] | None:
    """A visit of the step that sent nothing: its condition, the suppression list, an error."""
    for run in facts.runs:
        for visit in reversed(facts.visits[run.pk]):
            if visit.step_id not in facts.wanted or visit.event not in (Event_.SKIPPED, Event_.FAILED):
                continue
            failed = visit.event == Event_.FAILED
            cause = visit.error or ("its condition was not met" if visit.why else "it was skipped")
            return {
                "verdict": "failed" if failed else "skipped",
                "sentence": f"‘{_name(facts, visit.step_id)}’ {'failed' if failed else 'sent nothing'}: {cause}",
                "at": visit.finished_at,
                "step": _key(facts, visit.step_id),
                "why": visit.why or [],
                **_of_run(facts, run),
            }
    return None


def _standing(facts: Facts) -> dict[str, Any] | None:
    for run in facts.runs:
        if run.finished_at is not None:
            continue
        name = _name(facts, run.step_id)
        status = run.get_status_display()
        if status in ("pending", "running") and is_kept(run, now=engine_now()):
            sentence, at = f"The run waits at ‘{name}’: the step fails for too many, and a few are tried first.", None
        elif status == "paused":
            sentence, at = f"The run is paused before ‘{name}’.", run.held_until
        elif run.next_step_at is not None and status == "pending":
            # The time stands beside it, by the clock of whoever reads.
            sentence, at = f"The run is on its way: next comes ‘{name}’.", run.next_step_at
        else:
            sentence, at = f"The run is at ‘{name}’ and waits for what it asked for.", run.next_step_at
        return {
            "verdict": "on_its_way", "sentence": sentence, "at": at, "step": _key(facts, run.step_id),
            **_of_run(facts, run),
        }  # fmt: skip
    return None


def _elsewhere(facts: Facts) -> dict[str, Any] | None:
    """A branch that led past every step that sends: the last decision of the newest run that has reasons."""
    for run in facts.runs:
        if run.status != RunStatus.COMPLETED or not facts.wanted:
            continue
        for visit in reversed(facts.visits[run.pk]):
            if visit.why and visit.outcome not in (None, "next"):
                return {
                    "verdict": "led_elsewhere",
                    "sentence": f"‘{_name(facts, visit.step_id)}’ said {visit.outcome}, and that way sends nothing.",
                    "at": visit.finished_at,
                    "step": _key(facts, visit.step_id),
                    "why": visit.why,
                    **_of_run(facts, run),
                }
    return None


def _ended(facts: Facts) -> dict[str, Any] | None:
    for run in facts.runs:
        last = next((visit for visit in reversed(facts.visits[run.pk]) if visit.error or visit.why), None)
        reason = f" ({run.reason})" if run.reason and run.reason != run.get_status_display() else ""
        detail = f" {last.error}" if last is not None and last.error else ""
        return {
            "verdict": "ended",
            "sentence": f"The run ended as {run.get_status_display()}{reason} after ‘{_name(facts, run.last_step_id)}’."
            f"{detail}",
            "at": run.finished_at,
            "step": _key(facts, run.last_step_id),
            "why": (last.why or []) if last is not None else [],
            **_of_run(facts, run),
        }
    return None


def _kept_out(facts: Facts) -> dict[str, Any] | None:
    if not facts.decisions:
        return None
    decision = facts.decisions[0]
    trigger = next((each for each in facts.triggers if each.pk == decision.trigger_id), None)
    name = f" by the trigger ‘{trigger}’" if trigger is not None else ""
    changed = trigger is not None and trigger.revision != decision.trigger_revision
    return {
        "verdict": "not_enrolled",
        "sentence": f"It was kept out{name}: {decision.get_decision_display()}."
        + (" The trigger has been changed since." if changed else ""),
        "at": decision.at,
        "why": decision.why or [],
    }


def _never_asked(facts: Facts) -> dict[str, Any]:
    """Nothing ever brought it in: say what would have to happen."""
    pipeline = facts.pipeline
    if pipeline.status != Pipeline.Status.ACTIVE:
        return {"verdict": "not_active", "sentence": f"The pipeline is {pipeline.get_status_display().lower()}."}
    kinds = {trigger.kind for trigger in facts.triggers if trigger.enabled}
    events = sorted({trigger.event for trigger in facts.triggers if trigger.event})
    if events:
        words = " or ".join(f"‘{event}’" for event in events)
        return {"verdict": "no_event", "sentence": f"No event {words} has come for it."}
    if Trigger.Kind.CREATED in kinds:
        return {"verdict": "no_event", "sentence": "It existed before the pipeline took in new records."}
    return {"verdict": "no_event", "sentence": "Nobody has put it into this pipeline."}


def _why_there(facts: Facts, run: PipelineRun, step_id: int | None) -> list[Any]:
    """The clauses of the step's own condition, if it had one that was kept."""
    for visit in reversed(facts.visits[run.pk]):
        if visit.step_id == step_id and visit.why:
            return list(visit.why)
    return []


def _of_run(facts: Facts, run: PipelineRun) -> dict[str, Any]:
    """How the run began, and the decisions on its way."""
    trigger = run.trigger
    if trigger is not None and trigger.kind == Trigger.Kind.MANUAL:
        trigger = None
    return {
        "run": run.pk,
        "entered": {
            "at": run.created_at,
            "by": (trigger.key or trigger.get_kind_display()) if trigger is not None else "by hand",
            "version": run.version.number,
        },
        "path": [
            {
                "step": _key(facts, visit.step_id), "name": _name(facts, visit.step_id), "at": visit.finished_at,
                "outcome": visit.outcome or Event_(visit.event).label, "why": visit.why or [], "error": visit.error,
            }
            for visit in facts.visits[run.pk]
        ],
    }  # fmt: skip


def _key(facts: Facts, step_id: int | None) -> str:
    step = facts.steps.get(step_id or 0)
    return step.key if step is not None else ""


def _name(facts: Facts, step_id: int | None) -> str:
    step = facts.steps.get(step_id or 0)
    return str(step.name or step.key) if step is not None else "a step that was removed"
