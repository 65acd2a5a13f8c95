"""Why someone got, or did not get, a message: the first answer that fits, with the values as they were."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Model

from crm.models import Message, Team
from pipelines.circuits import is_kept
from pipelines.engine.clock import engine_now
from pipelines.engine.entry import Occasion
from pipelines.models import EnrollmentDecision, Pipeline, PipelineRun, StepExecution, Trigger
from pipelines.personal import personal_names, told_without_personal
from pipelines.simulation.doors import nothing_came, occasion_of, state_of
from pipelines.simulation.facts import Facts, read_facts
from pipelines.simulation.triggers import verdicts
from pipelines.simulation.turning import turned_away
from pipelines.states import RunStatus
from pipelines.subjects import SubjectType, subject_of_record

LEFT = {
    Message.State.SENT: ("sent", "was sent"),
    Message.State.QUEUED: ("on_its_way", "waits to be sent"),
    Message.State.SENDING: ("on_its_way", "is being handed over"),
    Message.State.UNCERTAIN: ("uncertain", "was handed over, and nobody knows whether it arrived"),
    Message.State.FAILED: ("failed", "could not be sent"),
    Message.State.SKIPPED: ("skipped", "was not sent"),
    Message.State.CANCELLED: ("skipped", "was called off"),
    Message.State.CAPTURED: ("skipped", "was only captured by a test run"),
}
Event_ = StepExecution.Event


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
    found = read_facts(team, kind, subject, pipeline, template)
    data = kind.load([subject.pk]).get(subject.pk, {})
    _judge_now(found, kind, subject.pk, data, now or engine_now())
    names = personal_names(team_id=team.pk)
    return [told_without_personal(_answer(facts, template), names=names) for facts in found]


def _judge_now(
    found: Iterable[Facts], kind: SubjectType, subject_id: int, data: Mapping[str, Any], now: datetime
) -> None:
    every = [trigger for facts in found for trigger in facts.triggers]
    answers = verdicts(every, kind, subject_id, data, Occasion(now, key="explain"))
    for facts in found:
        facts.now = [{"trigger": trigger.key, "kind": trigger.get_kind_display(), "occasion": occasion_of(trigger),
                      **answers[trigger.pk]} for trigger in facts.triggers]  # fmt: skip


def _answer(facts: Facts, template: str) -> dict[str, Any]:
    """The first that fits, in this order: sent, skipped, on its way, led elsewhere, ended, kept out, never asked."""
    answer = (
        _sent(facts) or _skipped(facts) or _standing(facts) or _elsewhere(facts) or _standing(facts, past=True)
        or _ended(facts) or _kept_out(facts) or _never_asked(facts)
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


def _standing(facts: Facts, *, past: bool = False) -> dict[str, Any] | None:
    for run in facts.runs:
        if run.finished_at is not None or (run.pk in facts.past) is not past:
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
    """A branch that led past every step that sends: the decision of the newest run that was led past them."""
    for run in facts.runs:
        if run.status != RunStatus.COMPLETED and run.pk not in facts.past:
            continue
        visit = turned_away(facts, run)
        if visit is not None:
            return {
                "verdict": "led_elsewhere",
                "sentence": f"‘{_name(facts, visit.step_id)}’ said {visit.outcome}, and that way sends nothing.",
                "at": visit.finished_at,
                "step": _key(facts, visit.step_id),
                "why": visit.why or [],
                **_of_run(facts, run),
            }
    return None


def _ended(facts: Facts) -> dict[str, Any] | None:
    for run in facts.runs:
        visits = facts.visits[run.pk]
        last = next((visit for visit in reversed(visits) if visit.error or visit.why), None)
        reason = f" ({run.reason})" if run.reason and run.reason != run.get_status_display() else ""
        detail = f" {last.error}" if last is not None and last.error else ""
        place = f"{_stood(run, visits)} ‘{_name(facts, run.last_step_id)}’"
        return {
            "verdict": "ended",
            "sentence": f"The run ended as {run.get_status_display()}{reason} {place}.{detail}",
            "at": run.finished_at,
            "step": _key(facts, run.last_step_id),
            "why": (last.why or []) if last is not None else [],
            **_of_run(facts, run),
        }
    return None


def _stood(run: PipelineRun, visits: Iterable[StepExecution]) -> str:
    """Whether it had done the step that it came to last, was inside, or still waited for its time."""
    done = any(
        (visit.run_id, visit.seq) == (run.pk, run.seq) and visit.outcome and visit.event != Event_.MOVED
        for visit in visits
    )
    return "after" if done else "before" if run.held_until is not None else "at"


def _kept_out(facts: Facts) -> dict[str, Any] | None:
    if not facts.decisions:
        return None
    decision = facts.decisions[0]
    trigger = next((each for each in facts.triggers if each.pk == decision.trigger_id), None)
    name = f" by the trigger ‘{trigger}’" if trigger is not None else ""
    changed = trigger is not None and trigger.revision != decision.trigger_revision
    return {
        "verdict": "not_enrolled",
        "sentence": f"It was kept out{name}: {_noted(decision)}"
        + (" The trigger has been changed since." if changed else ""),
        "at": decision.at,
        "why": decision.why or [],
    }


def _noted(decision: EnrollmentDecision) -> str:
    """The sentence that stands with the clauses of a decision, else the word of the decision."""
    notes = [clause["note"] for clause in decision.why or () if isinstance(clause, Mapping) and "note" in clause]
    return str(notes[0]) if notes else f"{decision.get_decision_display()}."


def _never_asked(facts: Facts) -> dict[str, Any]:
    """Nothing ever brought it in: say what would have to happen."""
    pipeline = facts.pipeline
    if pipeline.status != Pipeline.Status.ACTIVE:
        return {"verdict": "not_active", "sentence": f"The pipeline is {state_of(pipeline)}."}
    return {"verdict": "no_event", "sentence": nothing_came(facts.triggers)}


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
