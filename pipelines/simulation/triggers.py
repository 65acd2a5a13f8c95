"""Which triggers would let a record in at this moment, and clause by clause why the others would not."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q

from crm.models import Team
from pipelines.definition.conditions import compile_condition
from pipelines.engine.clock import engine_now
from pipelines.engine.cursor import NewRun
from pipelines.engine.entry import Decision, Entry, Occasion, Refusal, decide
from pipelines.engine.fitting import Wanted, judged
from pipelines.engine.keys import ONCE, RESTART
from pipelines.engine.limits import full_hours, hour_is_full, pipeline_is_full
from pipelines.engine.occupied import Holder, held_by
from pipelines.engine.plain import plain
from pipelines.engine.programs import pipeline_facts, programs
from pipelines.engine.rules import UPDATED
from pipelines.engine.ways import ENTERED_SEGMENT, condition_of, policy_of
from pipelines.models import Pipeline, Trigger
from pipelines.personal import personal_names, told_without_personal
from pipelines.simulation.doors import state_of
from pipelines.simulation.reading import read_only
from pipelines.simulation.samples import make_sample
from pipelines.simulation.scenario import ScenarioError, is_id
from pipelines.simulation.scratch import scratch
from pipelines.simulation.stage import our_sample
from pipelines.simulation.world import World
from pipelines.subjects import SubjectType, subject_named, subject_types

Kind = Trigger.Kind


def trigger_verdicts(
    *, team: Team, model: str, subject: int | Mapping[str, Any] | None, event: str = "",
    payload: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """One entry per trigger of the team that listens to this; raises ScenarioError. Nothing is written."""
    kind = subject_named(model)
    if kind is None:
        raise ScenarioError("model", f"must be one of {', '.join(subject_types())}")
    subject_id, data = _subject(team, kind, subject)
    rows = Trigger.objects.filter(pipeline__team=team).exclude(pipeline__status=Pipeline.Status.ARCHIVED)
    rows = rows.filter(_listening_to(event))
    about = {"pipeline__subject_type_id": kind.content_type_id, "pipeline__subject_record": kind.record_type}
    rows = rows.filter(**about).select_related("pipeline")
    occasion = Occasion(engine_now(), payload=payload or {}, key="test")
    triggers = list(rows.order_by("pipeline__key", "position", "id"))
    found = verdicts(triggers, kind, subject_id, data, occasion)
    names = personal_names(team_id=team.pk)
    return [told_without_personal(_told(trigger, found[trigger.pk]), names=names) for trigger in triggers]


def _listening_to(event: str) -> Q:
    """Triggers that an event may fire; without one, those on new records."""
    if not event:
        return Q(kind=Kind.CREATED)
    kinds = {UPDATED: Kind.UPDATED, ENTERED_SEGMENT: Kind.SEGMENT}
    found = Q(kind__in=[Kind.EVENT, Kind.WEBHOOK], event=event)
    return found | Q(kind=kinds[event]) if event in kinds else found


def verdicts(
    triggers: Sequence[Trigger],
    kind: SubjectType,
    subject_id: int | None,
    subject: Mapping[str, Any],
    occasion: Occasion,
) -> dict[int, dict[str, Any]]:
    """Whether a record would enter by each trigger now: `{would_enroll, reason, why}`, in a few statements."""
    facts = pipeline_facts({trigger.pipeline_id for trigger in triggers})
    current = {each.id: each.current_version_id for each in facts.values() if each.current_version_id is not None}
    loaded = programs(set(current.values()))
    full = full_hours(triggers, now=occasion.now)
    found: dict[int, dict[str, Any]] = {}
    newcomers: dict[int, NewRun] = {}
    for trigger in triggers:
        refused = _closed(trigger) or _not_looked_for(trigger, kind, subject, occasion.now)
        if refused is not None:
            found[trigger.pk] = refused
            continue
        entry = Entry(
            facts=facts[trigger.pipeline_id],
            program=loaded[current[trigger.pipeline_id]].program,
            trigger_id=trigger.pk,
            where=compile_condition(trigger.where) if trigger.where not in (None, []) else None,
            reentry=_policy(trigger),
            assign=trigger.assign,
        )
        outcome = decide(entry, kind.content_type_id, subject_id, subject, occasion)
        if isinstance(outcome, Refusal):
            found[trigger.pk] = _no(outcome.decision.label, outcome.why)
        else:
            newcomers[trigger.pk] = outcome
    holders = held_by((run.pipeline_id, run.dedup) for run in newcomers.values())
    for trigger in triggers:
        if trigger.pk in newcomers:
            limit = loaded[current[trigger.pipeline_id]].program.settings.get("max_executions")
            held = _held(trigger, newcomers[trigger.pk], holders, occasion.now)
            found[trigger.pk] = held or _full(trigger, trigger.pk in full, limit) or _yes(newcomers[trigger.pk])
    return found


def _closed(trigger: Trigger) -> dict[str, Any] | None:
    pipeline = trigger.pipeline
    if pipeline.status != Pipeline.Status.ACTIVE or pipeline.current_version_id is None:
        return _no(f"the pipeline is {state_of(pipeline)}")
    return None if trigger.enabled else _no("the trigger is switched off")


def _not_looked_for(
    trigger: Trigger, kind: SubjectType, subject: Mapping[str, Any], now: datetime
) -> dict[str, Any] | None:
    """Why a schedule that looks for records (`for_each`) passes this one over."""
    where = (trigger.for_each or {}).get("where") if trigger.kind == Kind.CRON else None
    condition = condition_of(where)
    if condition is None:
        return None
    verdict = judged(Wanted(trigger.pipeline.team_id, kind, where, now, bare=True), condition, subject)
    if verdict.met and not verdict.error:
        return None
    why = [plain(leaf.as_dict()) for leaf in verdict.why]
    return _no(Decision.CONDITIONS.label, [*why, {"error": verdict.error}] if verdict.error else why)


def _policy(trigger: Trigger) -> Any:
    """Who may come in again, as the engine has it: segments take everybody once unless they say otherwise."""
    if trigger.kind == Kind.SEGMENT and not trigger.segment:
        return trigger.reentry or ONCE
    return policy_of(trigger.kind, trigger.segment, trigger.reentry)


def _full(trigger: Trigger, hour_over: bool, executions: int | None) -> dict[str, Any] | None:
    """No place left, in this hour or for good."""
    if hour_over:
        return _no(Decision.LIMIT.label, [{"error": hour_is_full(trigger.max_per_hour or 0)}])
    if executions and trigger.pipeline.enrolled_total >= int(executions):
        return _no(Decision.LIMIT.label, [{"error": pipeline_is_full(int(executions))}])
    return None


def _held(
    trigger: Trigger, run: NewRun, holders: Mapping[tuple[int, Any], Holder], now: datetime
) -> dict[str, Any] | None:
    """The run that has the place of a newcomer, and until when."""
    holder = holders.get((run.pipeline_id, run.dedup))
    if holder is None or trigger.reentry == RESTART:
        return None
    again = holder.why(_policy(trigger))
    if "again_at" in again and datetime.fromisoformat(again["again_at"]) < now:
        return None
    return _no(Decision.DUPLICATE.label if holder.finished_at is None else "was in the pipeline before", [again])


def _yes(run: NewRun) -> dict[str, Any]:
    return {"would_enroll": True, "reason": "", "why": [], "first_step_at": run.next_step_at}


def _no(reason: str, why: list[Any] | None = None) -> dict[str, Any]:
    return {"would_enroll": False, "reason": reason, "why": why or []}


def _told(trigger: Trigger, verdict: dict[str, Any]) -> dict[str, Any]:
    return {
        "pipeline": trigger.pipeline.key,
        "trigger": trigger.key,
        "kind": trigger.get_kind_display(),
        **verdict,
    }


def _subject(
    team: Team, kind: SubjectType, subject: int | Mapping[str, Any] | None
) -> tuple[int | None, dict[str, Any]]:
    """The record as conditions read it; a sample has no id."""
    if isinstance(subject, int) and not isinstance(subject, bool):
        found = kind.load([subject]).get(subject) if is_id(subject) else None
        if found is None or found["team_id"] != team.pk:
            raise ScenarioError("subject", f"there is no {kind.name} of this number in this team")
        return subject, found
    if subject is not None and not isinstance(subject, Mapping):
        raise ScenarioError("subject", "give the id of a record, or sample values")
    with read_only():
        world = World(team)
        world.read_team()
    with scratch():
        world.settle()
        row = make_sample(kind, subject if subject is not None else our_sample(kind, team), team=team)
        return row.pk, kind.load([row.pk])[row.pk]
