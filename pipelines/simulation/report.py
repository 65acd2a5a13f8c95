"""The execution report of a run, simulated or real: every visit with its reasons, messages and errors."""

from collections.abc import Sequence
from typing import Any

from crm.models import Message, Notification, Task
from crm.team_secrets import without_marks
from pipelines.engine.kinds import MESSAGES
from pipelines.engine.plain import plain
from pipelines.lineage import places_of, spelled
from pipelines.models import Effect, PipelineRun, PipelineStep, RunContext, StepExecution
from pipelines.states import RunStatus

Event = StepExecution.Event
NAMES = {event.value: event.name.lower() for event in Event}


def report_of(run: PipelineRun) -> dict[str, Any]:
    """What happened to one run and the runs inside it; seven statements."""
    family = [run, *PipelineRun.objects.filter(root_id=run.pk).order_by("pk")]
    ids = [each.pk for each in family]
    rows = PipelineStep.objects.filter(pipeline__in={each.pipeline_id for each in family})
    steps = {step.pk: step for step in rows.select_related("parent", "pipeline")}
    visits = list(StepExecution.objects.filter(run_id__in=ids).order_by("id"))
    messages = list(Message.objects.filter(run_id__in=ids).order_by("created_at", "pk"))
    effects = _effects(ids, messages)
    memory = RunContext.objects.filter(run_id=run.pk).first()
    branches = {pk: spelled(places) for pk, places in places_of(run, family[1:], steps).items()}
    told = [_visit(visit, steps, branches, effects) for visit in visits]
    return {
        "success": run.status == RunStatus.COMPLETED,
        "status": run.get_status_display(),
        "reason": run.reason or "",
        "started_at": run.created_at,
        "finished_at": run.finished_at,
        "virtual_duration": (run.finished_at - run.created_at).total_seconds() if run.finished_at else None,
        "next": _next(run, steps),
        "steps": told,
        "context": {"vars": memory.vars if memory else {}, "outputs": memory.outputs if memory else {}},
        "errors": [
            {"step": each["key"], "at": each["left_at"], "message": each["error"]}
            for each in told
            if each["error"] and each["event"] in ("failed", "retried", "skipped", "note")
        ],
        "messages": [_message(message, steps, branches) for message in messages],
        "warnings": [],
    }


def _next(run: PipelineRun, steps: dict[int, PipelineStep]) -> dict[str, Any] | None:
    if run.finished_at is not None or run.step_id is None:
        return None
    return {"step": _key(steps, run.step_id), "at": run.next_step_at}


def _key(steps: dict[int, PipelineStep], step_id: int | None) -> str:
    step = steps.get(step_id or 0)
    return step.key if step is not None else ""


def _visit(
    visit: StepExecution,
    steps: dict[int, PipelineStep],
    branches: dict[int, str],
    effects: dict[tuple[int, int], list[dict[str, Any]]],
) -> dict[str, Any]:
    step = steps.get(visit.step_id)
    return {
        "key": step.key if step else "",
        "name": (step.name or step.key) if step else "",
        "kind": step.action_type if step else "",
        "visit": visit.seq,
        "branch": branches.get(visit.run_id, ""),
        "entered_at": visit.started_at,
        "left_at": visit.finished_at,
        "event": NAMES[visit.event],
        "outcome": visit.outcome,
        "attempt": visit.attempt,
        "why": visit.why or [],
        "output": visit.output,
        "error": visit.error,
        "effects": effects.get((visit.run_id, visit.seq), []) if visit.event != Event.RETRIED else [],
    }


def _effects(ids: Sequence[int], messages: Sequence[Message]) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """What a visit caused outside and among people, by (run, visit)."""
    found: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for message in messages:
        entry: dict[str, Any] = {
            "kind": message.channel,
            "to": message.recipient,
            "subject": message.subject,
            "state": message.state,
        }
        # Mail beside a visit, such as the one about a task, carries the visit's number with a minus.
        found.setdefault((message.run_id or 0, abs(message.run_seq or 0)), []).append(entry)
    rows = Effect.objects.filter(run_id__in=ids).exclude(kind__in=MESSAGES).order_by("pk")
    for effect in rows:
        entry = {
            "kind": effect.get_kind_display(),
            "request": without_marks(effect.payload),
            "state": effect.get_status_display(),
            "result": effect.result,
        }
        found.setdefault((effect.run_id, effect.seq), []).append(entry)
    for task in Task.objects.filter(run_id__in=ids).select_related("assignee").order_by("pk"):
        assignee = task.assignee.email if task.assignee else None
        entry = {"kind": "task", "title": task.title, "assignee": assignee, "due_at": task.due_at}
        found.setdefault((task.run_id or 0, task.run_seq or 0), []).append(entry)
    return found


def _message(message: Message, steps: dict[int, PipelineStep], branches: dict[int, str]) -> dict[str, Any]:
    return {
        "step": _key(steps, message.step_id),
        "visit": abs(message.run_seq or 0),
        "branch": branches.get(message.run_id or 0, ""),
        "at": message.created_at,
        "sent_at": message.sent_at,
        "held_by": message.held_by,
        "channel": message.channel,
        "to": message.recipient,
        "from": message.sender,
        "subject": message.subject,
        "text": message.text,
        "html": message.html,
        "state": message.state,
        "reason": message.reason or message.error,
        "unsubscribable": bool(message.topic),
    }


def notifications_of(run_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Notes that runs left for members."""
    rows = Notification.objects.filter(run_id__in=run_ids).select_related("user").order_by("pk")
    return [{"at": row.created_at, "to": row.user.email, "title": row.title, "body": row.body} for row in rows]


def as_json(report: dict[str, Any]) -> dict[str, Any]:
    """The report with its times as text."""
    found: dict[str, Any] = plain(report)
    return found
