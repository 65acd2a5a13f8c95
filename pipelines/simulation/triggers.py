"""Which triggers would let a record in at this moment, and clause by clause why the others would not."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Q

from crm.models import Team
from pipelines.definition.conditions import compile_condition
from pipelines.engine.clock import engine_now
from pipelines.engine.cursor import NewRun
from pipelines.engine.entry import Entry, Occasion, Refusal, decide
from pipelines.engine.keys import RESTART
from pipelines.engine.programs import pipeline_facts, programs
from pipelines.engine.rules import UPDATED
from pipelines.engine.ways import ENTERED_SEGMENT
from pipelines.models import Pipeline, PipelineRun, Trigger
from pipelines.personal import personal_names, told_without_personal
from pipelines.simulation.reading import read_only
from pipelines.simulation.samples import make_sample
from pipelines.simulation.scenario import ScenarioError
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
    """Whether a record would enter by each trigger now: `{would_enroll, reason, why}`, in three statements."""
    facts = pipeline_facts({trigger.pipeline_id for trigger in triggers})
    current = {each.id: each.current_version_id for each in facts.values() if each.current_version_id is not None}
    loaded = programs(set(current.values()))
    found: dict[int, dict[str, Any]] = {}
    newcomers: dict[int, NewRun] = {}
    for trigger in triggers:
        refused = _closed(trigger)
        if refused:
            found[trigger.pk] = _no(refused)
            continue
        entry = Entry(
            facts=facts[trigger.pipeline_id],
            program=loaded[current[trigger.pipeline_id]].program,
            trigger_id=trigger.pk,
            where=compile_condition(trigger.where) if trigger.where not in (None, []) else None,
            reentry=trigger.reentry,
            assign=trigger.assign,
        )
        outcome = decide(entry, kind.content_type_id, subject_id, subject, occasion)
        if isinstance(outcome, Refusal):
            found[trigger.pk] = _no(outcome.decision.label, outcome.why)
        else:
            newcomers[trigger.pk] = outcome
    holders = _holders(newcomers.values())
    for trigger in triggers:
        if trigger.pk in newcomers:
            found[trigger.pk] = _enters(trigger, newcomers[trigger.pk], holders)
    return found


def _closed(trigger: Trigger) -> str:
    pipeline = trigger.pipeline
    if pipeline.status != Pipeline.Status.ACTIVE or pipeline.current_version_id is None:
        return f"the pipeline is {pipeline.get_status_display().lower()}"
    return "" if trigger.enabled else "the trigger is switched off"


def _holders(newcomers: Iterable[NewRun]) -> dict[tuple[int, Any], PipelineRun]:
    """Runs that hold the keys of newcomers."""
    wanted = {(run.pipeline_id, run.dedup) for run in newcomers if run.dedup is not None}
    rows = PipelineRun.objects.filter(
        pipeline_id__in={pipeline for pipeline, _ in wanted}, dedup__in={key for _, key in wanted}
    )
    return {(run.pipeline_id, run.dedup): run for run in rows} if wanted else {}


def _enters(trigger: Trigger, run: NewRun, holders: Mapping[tuple[int, Any], PipelineRun]) -> dict[str, Any]:
    holder = holders.get((run.pipeline_id, run.dedup))
    if holder is not None and trigger.reentry != RESTART:
        return _no("already in the pipeline", [{"run": holder.pk, "status": holder.get_status_display()}])
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
        found = kind.load([subject]).get(subject)
        if found is None or found["team_id"] != team.pk:
            raise ScenarioError("subject", f"there is no {kind.name} {subject} in this team")
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
