"""One subject at one way in: it becomes a run, or a refusal that says why."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.definition.conditions import Condition
from pipelines.definition.delays import Delay
from pipelines.definition.program import Program
from pipelines.definition.values import compile_value
from pipelines.engine.cause import MAX_DEPTH, next_depth
from pipelines.engine.cursor import Cursor, NewRun
from pipelines.engine.keys import WHILE_ACTIVE, dedup_key
from pipelines.engine.moves import due_at
from pipelines.engine.plain import plain
from pipelines.engine.programs import PipelineFacts
from pipelines.models import EnrollmentDecision

Decision = EnrollmentDecision.Decision
TOO_DEEP = f"Stopped: {MAX_DEPTH + 1} runs in a row have started each other, which looks like a circle."


@dataclass(frozen=True, slots=True)
class Entry:
    """One way in, as a batch uses it."""

    facts: PipelineFacts
    program: Program
    trigger_id: int | None = None
    trigger_revision: int = 0
    where: Condition | None = None
    reentry: Any = None
    assign: Mapping[str, Any] | None = None

    @property
    def reads_subject(self) -> bool:
        """Whether anything about the record decides if and when it enters."""
        keyed = isinstance(self.reentry, Mapping) and "key" in self.reentry
        return self.where is not None or keyed or not self.program.first.delay.is_zero

    @property
    def required(self) -> list[str]:
        """Variables that a run cannot begin without."""
        return [each["name"] for each in self.program.variables if each.get("required") and "default" not in each]

    def assigned(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """The variables that the trigger sets."""
        return {name: compile_value(value).evaluate(context) for name, value in (self.assign or {}).items()}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A subject that did not enter."""

    entry: Entry
    subject_id: int | None
    decision: Decision
    why: list[Any] | None = None


@dataclass(frozen=True, slots=True)
class Occasion:
    """What brings subjects in: when, with which payload and under which key."""

    now: datetime
    payload: Mapping[str, Any] | None = None
    variables: Mapping[str, Any] | None = None
    key: str = ""
    # The caller knows that the records are of the team; those that nothing reads are then not loaded.
    trusted: bool = False


def decide(
    entry: Entry,
    subject_type_id: int | None,
    subject_id: int | None,
    subject: Mapping[str, Any] | None,
    occasion: Occasion,
) -> NewRun | Refusal:
    """A run ready to be inserted, or why there is none."""
    if subject_id is not None and not occasion.trusted and not _in_team(subject, entry):
        return Refusal(entry, subject_id, Decision.ERROR, [{"error": "There is no such record in this team."}])
    context = _context(entry, subject, occasion)
    if entry.where is not None:
        verdict = entry.where.evaluate(context)
        if verdict.error or not verdict.met:
            why = [plain(leaf.as_dict()) for leaf in verdict.why]
            if verdict.error:
                why.append({"error": verdict.error})
            return Refusal(entry, subject_id, Decision.CONDITIONS, why)
    missing = _missing(entry, occasion, context)
    if missing:
        return Refusal(entry, subject_id, Decision.ERROR, [{"error": f"The variable {missing[0]!r} needs a value."}])
    value = None
    if isinstance(entry.reentry, Mapping) and "key" in entry.reentry:
        value = compile_value(entry.reentry["key"]).evaluate(context)
    dedup = dedup_key(
        policy=entry.reentry or WHILE_ACTIVE,
        subject_type_id=subject_type_id,
        subject_id=subject_id,
        event_key=occasion.key,
        value=value,
    )
    depth = next_depth()
    if depth > MAX_DEPTH:
        return Refusal(entry, subject_id, Decision.LIMIT, [{"error": TOO_DEEP}])
    return _run(entry, subject_type_id, subject_id, dedup, context, occasion.now, depth)


def _missing(entry: Entry, occasion: Occasion, context: Mapping[str, Any]) -> list[str]:
    if not entry.required:
        return []
    given = {**(occasion.variables or {}), **entry.assigned(context)}
    return [name for name in entry.required if given.get(name) is None]


def _in_team(subject: Mapping[str, Any] | None, entry: Entry) -> bool:
    return subject is not None and subject["team_id"] == entry.facts.team.id


def _context(entry: Entry, subject: Mapping[str, Any] | None, occasion: Occasion) -> dict[str, Any]:
    context: dict[str, Any] = {
        **(occasion.variables or {}),
        "subject": subject,
        "trigger": occasion.payload or {},
        "vars": occasion.variables or {},
        "team": entry.facts.team.context,
        "pipeline": entry.facts.context,
        "now": occasion.now,
    }
    if subject is not None:
        context[str(subject["model"]).rpartition(".")[2]] = subject
        if entry.program.alias:
            context[entry.program.alias] = subject
    return context


def _run(
    entry: Entry,
    subject_type_id: int | None,
    subject_id: int | None,
    dedup: uuid.UUID | None,
    context: Mapping[str, Any],
    now: datetime,
    depth: int,
) -> NewRun:
    first = entry.program.first
    return NewRun(
        pipeline_id=entry.facts.id,
        version_id=entry.facts.current_version_id or 0,
        subject_type_id=subject_type_id,
        subject_id=subject_id,
        trigger_id=entry.trigger_id,
        dedup=dedup,
        step_id=first.id,
        next_step_at=first_due(first.delay, context=context, now=now),
        created_at=now,
        depth=depth,
    )


def first_due(delay: Delay, *, context: Mapping[str, Any], now: datetime) -> datetime:
    """When a new run's first step is due."""
    if delay.is_zero:
        return now
    newcomer = Cursor(
        id=0, pipeline_id=0, version_id=0, subject_type_id=None, subject_id=None, trigger_id=None, dedup=None,
        status=0, step_id=None, last_step_id=None, next_step_at=None, phase=0, attempt=0, seq=1,
        parent_id=None, root_id=None, created_at=now,
    )  # fmt: skip
    due = due_at(delay, cursor=newcomer, context=context, previous=now)
    return due if isinstance(due, datetime) else now


def record_decisions(refusals: Sequence[Refusal], subject_type_id: int | None, now: datetime) -> None:
    """Keep why someone did not enter; who entered is told by the run itself."""
    EnrollmentDecision.objects.bulk_create(
        [
            EnrollmentDecision(
                pipeline_id=refusal.entry.facts.id,
                trigger_id=refusal.entry.trigger_id,
                trigger_revision=refusal.entry.trigger_revision,
                subject_type_id=subject_type_id,
                subject_id=refusal.subject_id,
                decision=refusal.decision,
                why=refusal.why,
                at=now,
            )
            for refusal in refusals
        ],
        batch_size=1000,
    )
