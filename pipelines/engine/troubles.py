"""For whom the steps of a batch failed, as values: what circuits are opened and closed by."""

from dataclasses import dataclass, field
from typing import Any, Final

from pipelines.actions.registry import kinds
from pipelines.definition.program import Program, Step
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Cursor, Visit
from pipelines.models import StepExecution

_FAILED: Final = StepExecution.Event.FAILED.value
_RETRIED: Final = StepExecution.Event.RETRIED.value
_WRONG: Final = frozenset({_FAILED, _RETRIED})
# These wait inside for what must not be kept from them: answers, deadlines and children.
_WAITING: Final = frozenset({"wait", "wait_for", "human_task"})
# How visits end in which the step did not do its work.
NOT_PASSED: Final = ("error", "failed", "retried", "skipped", "note", "moved", "waiting", "uncertain")


@dataclass(slots=True)
class Trouble:
    """What happened at a step in one transaction: who failed there, how many visits went well, the last error."""

    who: set[int] = field(default_factory=set)
    passed: int = 0
    # Answers that say the step does not work though nobody failed: those of a trial.
    refused: int = 0
    code: str = ""

    def add(self, other: "Trouble") -> None:
        self.who |= other.who
        self.passed += other.passed
        self.refused += other.refused
        self.code = other.code or self.code

    def note(self, cursor: Cursor, code: str) -> None:
        """This record failed."""
        self.who.add(cursor.subject_id if cursor.subject_id is not None else -(cursor.root_id or cursor.id))
        self.code = code or self.code


# By step.
Troubles = dict[int, Trouble]


def can_break(program: Program, step: Step) -> bool:
    """Whether a step has a circuit: not where its author has said where an error leads."""
    kind = kinds().get(step.kind)
    if kind is None or kind.opens_scopes or step.kind in _WAITING:
        return False
    return program.target(step, "error") == "fail"


def troubles_of(batch: Batch) -> Troubles:
    """Of the steps at which somebody failed, and of those whose circuit is open; mostly of none."""
    if batch.test:
        return {}
    wrong = {visit.step_id for visit in batch.visits if visit.event in _WRONG}
    if not wrong and not batch.broken:
        return {}
    cursors = {cursor.id: cursor for cursor in batch.cursors}
    found: Troubles = {step_id: Trouble() for step_id in wrong | batch.broken}
    for visit in batch.visits:
        trouble = found.get(visit.step_id)
        if trouble is None:
            continue
        if visit.event not in _WRONG:
            trouble.passed += (visit.outcome or "note") not in NOT_PASSED
            trouble.refused += visit.outcome == "uncertain"
        elif _counts(batch, cursors[visit.run_id], visit):
            trouble.note(cursors[visit.run_id], _code(visit.output))
    if batch.trial is not None:
        found.setdefault(batch.trial, Trouble()).refused += batch.refused
    return {step_id: each for step_id, each in found.items() if each.who or each.passed or each.refused}


def _counts(batch: Batch, cursor: Cursor, visit: Visit) -> bool:
    program = batch.programs[cursor.version_id].program
    step = program.by_id.get(visit.step_id)
    return step is not None and can_break(program, step)


def _code(output: Any) -> str:
    error = output.get("error") if isinstance(output, dict) else None
    return str(error.get("code", ""))[:40] if isinstance(error, dict) else ""
