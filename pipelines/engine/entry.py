"""One subject at one way in: it becomes a run, or a refusal that says why."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipelines.definition.conditions import Condition
from pipelines.definition.delays import Delay, DelayError
from pipelines.definition.program import Program
from pipelines.definition.values import ParameterError, compile_value
from pipelines.definition.variables import MisfitError, held
from pipelines.engine.cause import MAX_DEPTH, next_depth
from pipelines.engine.cursor import Cursor, NewRun
from pipelines.engine.keys import WHILE_ACTIVE, dedup_key
from pipelines.engine.moves import due_at
from pipelines.engine.plain import plain
from pipelines.engine.programs import PipelineFacts
from pipelines.models import EnrollmentDecision
from pipelines.states import RunPhase
from pipelines.subjects import OWN

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
    # How many the trigger lets in within an hour.
    max_per_hour: int | None = None
    # Whoever enters is a test: it holds no key, and no trigger counts it.
    test: bool = False

    @property
    def reads_subject(self) -> bool:
        """Whether anything about the record decides if and when it enters."""
        keyed = isinstance(self.reentry, Mapping) and "key" in self.reentry
        asked = self.where is not None or bool(self.program.standing)
        return asked or keyed or not self.program.first.delay.is_zero

    @property
    def required(self) -> list[str]:
        """Variables that a run cannot begin without."""
        return self.program.required

    def wrong(self, values: Mapping[str, Any]) -> str:
        """A sentence about the first value that is not of the type of its variable; empty when all fit."""
        try:
            held(self.program.types, values)
        except MisfitError as error:
            return f"The variable {error.name!r} {error.message}."
        return ""

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
    subject_type_id: int | None = None
    event_id: int | None = None


@dataclass(frozen=True, slots=True)
class Occasion:
    """What brings subjects in: when, with which payload and under which key."""

    now: datetime
    payload: Mapping[str, Any] | None = None
    variables: Mapping[str, Any] | None = None
    key: str = ""
    # The caller knows that the records are of the team; those that nothing reads are then not loaded.
    trusted: bool = False
    # The event behind it, and how many runs in a row led to it; else whoever is at work is asked.
    event_id: int | None = None
    depth: int | None = None
    # When those came whose first try failed: their runs count from then, as if it had not.
    came: Mapping[int, datetime] = field(default_factory=dict)

    def began(self, subject_id: int | None) -> datetime:
        """When the run of a subject begins."""
        return self.now if subject_id is None else self.came.get(subject_id, self.now)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One subject at one way in."""

    entry: Entry
    subject_type_id: int | None
    subject_id: int | None
    subject: Mapping[str, Any] | None
    occasion: Occasion

    def refused(self, decision: Decision, why: list[Any] | None = None) -> Refusal:
        return Refusal(self.entry, self.subject_id, decision, why, self.subject_type_id, self.occasion.event_id)


def decide(
    entry: Entry,
    subject_type_id: int | None,
    subject_id: int | None,
    subject: Mapping[str, Any] | None,
    occasion: Occasion,
) -> NewRun | Refusal:
    """A run ready to be inserted, or why there is none."""
    candidate = Candidate(entry, subject_type_id, subject_id, subject, occasion)
    if subject_id is not None and not occasion.trusted and not _in_team(subject, entry):
        return candidate.refused(Decision.ERROR, [{"error": "There is no such record in this team."}])
    try:
        context = context_of(entry, subject, occasion)
        refusal = _unmet(candidate, context)
        value = None if refusal else key_value(entry, context)
    except ParameterError as error:
        return candidate.refused(Decision.ERROR, [{"error": str(error)}])
    if refusal is not None:
        return refusal
    dedup = None if entry.test else dedup_key(
        policy=entry.reentry or WHILE_ACTIVE,
        subject_type_id=subject_type_id,
        subject_id=subject_id,
        event_key=occasion.key,
        value=value,
    )  # fmt: skip
    depth = next_depth() if occasion.depth is None else occasion.depth
    if depth > MAX_DEPTH:
        return candidate.refused(Decision.LIMIT, [{"error": TOO_DEEP}])
    try:
        return _run(entry, subject_type_id, subject_id, dedup, context, occasion.began(subject_id), depth)
    except DelayError as error:
        # One record without a date must not keep the others of its batch out.
        return candidate.refused(Decision.ERROR, [{"error": f"The delay of the first step: {error}"}])


def _unmet(candidate: Candidate, context: Mapping[str, Any]) -> Refusal | None:
    """What the conditions and the variables say against it."""
    entry = candidate.entry
    if entry.where is not None:
        verdict = entry.where.evaluate(context)
        if verdict.error or not verdict.met:
            why = [plain(leaf.as_dict()) for leaf in verdict.why]
            if verdict.error:
                why.append({"error": verdict.error})
            return candidate.refused(Decision.CONDITIONS, why)
    missing = [name for name in entry.required if context["vars"].get(name) is None]
    if missing:
        return candidate.refused(Decision.ERROR, [{"error": f"The variable {missing[0]!r} needs a value."}])
    wrong = entry.wrong(context["vars"]) if context["vars"] else ""
    return candidate.refused(Decision.ERROR, [{"error": wrong}]) if wrong else _leaving(candidate, context)


def _leaving(candidate: Candidate, context: Mapping[str, Any]) -> Refusal | None:
    """Who meets an exit condition already would leave at once."""
    program = candidate.entry.program
    if not program.standing:
        return None
    seen = _with_defaults(program, context)
    for rule in program.standing:
        verdict = rule.held_by(seen)
        if verdict is not None:
            said = f"The exit rule “{rule.reason}” holds already." if rule.reason else "An exit rule holds already."
            why = [{"note": said}, *(plain(leaf.as_dict()) for leaf in verdict.why)]
            return candidate.refused(Decision.CONDITIONS, why)
    return None


def _with_defaults(program: Program, context: Mapping[str, Any]) -> Mapping[str, Any]:
    """The context with what variables are that nobody gave."""
    if not program.defaults:
        return context
    return {**program.defaults, **context, "vars": {**program.defaults, **context["vars"]}}


def key_value(entry: Entry, context: Mapping[str, Any]) -> Any:
    """What the key of a keyed re-entry comes to; None where re-entry is not keyed."""
    if isinstance(entry.reentry, Mapping) and "key" in entry.reentry:
        return compile_value(entry.reentry["key"]).evaluate(context)
    return None


def _in_team(subject: Mapping[str, Any] | None, entry: Entry) -> bool:
    if subject is None or subject["team_id"] != entry.facts.team.id:
        return False
    wanted = entry.facts.subject_record
    return not wanted or subject["model"] == f"{OWN}{wanted}"


def context_of(entry: Entry, subject: Mapping[str, Any] | None, occasion: Occasion) -> dict[str, Any]:
    """What conditions at the door may read, with the variables that the trigger sets."""
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
    if entry.assign:
        assigned = entry.assigned(context)
        context = {**assigned, **context, "vars": {**assigned, **context["vars"]}}
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
    seen = context if first.delay.is_zero else _with_defaults(entry.program, context)
    due, phase = first_due(first.delay, context=seen, now=now)
    return NewRun(
        pipeline_id=entry.facts.id,
        version_id=entry.facts.current_version_id or 0,
        subject_type_id=subject_type_id,
        subject_id=subject_id,
        trigger_id=None if entry.test else entry.trigger_id,
        dedup=dedup,
        test=entry.test,
        step_id=first.id,
        next_step_at=due,
        created_at=now,
        depth=depth,
        phase=phase,
    )


def first_due(delay: Delay, *, context: Mapping[str, Any], now: datetime) -> tuple[datetime, int]:
    """When a new run's first step is due, and the phase the run waits for it in.

    Where the time has passed and the rule says to skip, the engine looks at the rule again when it moves the run:
    it skips the first step as it skips any other.
    """
    if delay.is_zero:
        return now, RunPhase.ENTER.value
    newcomer = Cursor(
        id=0, pipeline_id=0, version_id=0, subject_type_id=None, subject_id=None, trigger_id=None, dedup=None,
        status=0, step_id=None, last_step_id=None, next_step_at=None, phase=0, attempt=0, seq=1,
        parent_id=None, root_id=None, created_at=now,
    )  # fmt: skip
    due = due_at(delay, cursor=newcomer, context=context, previous=now)
    return (due, RunPhase.ENTER.value) if isinstance(due, datetime) else (now, RunPhase.RESCHEDULE.value)


def record_decisions(refusals: Sequence[Refusal], now: datetime) -> None:
    """Keep why someone did not enter; who entered is told by the run itself."""
    EnrollmentDecision.objects.bulk_create(
        [
            EnrollmentDecision(
                event_id=refusal.event_id,
                pipeline_id=refusal.entry.facts.id,
                trigger_id=refusal.entry.trigger_id,
                trigger_revision=refusal.entry.trigger_revision,
                subject_type_id=refusal.subject_type_id,
                subject_id=refusal.subject_id,
                decision=refusal.decision,
                why=refusal.why,
                at=now,
            )
            for refusal in refusals
        ],
        batch_size=1000,
    )
