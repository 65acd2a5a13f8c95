"""Runs that ended and are to go on hold their re-entry keys again, unless their records came in again since."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

from django.db import IntegrityError, transaction

from pipelines.definition.values import ParameterError
from pipelines.engine.clock import engine_now
from pipelines.engine.entry import Entry, Occasion, context_of, key_value
from pipelines.engine.keys import WHILE_ACTIVE, dedup_key
from pipelines.engine.programs import pipeline_facts, programs
from pipelines.engine.store import store
from pipelines.engine.ways import policy_of
from pipelines.models import PipelineRun, RunContext, Trigger
from pipelines.subjects import among, subject_type

TRIES: Final = 3
T = TypeVar("T")
# A key in its pipeline, the run that holds it and whether that run is under way.
Holders = dict[tuple[int, UUID], tuple[int, bool]]


def reclaim_keys(run_ids: Sequence[int]) -> dict[int, int]:
    """Give locked runs that ended the keys back which they lost; those that cannot go on, with the run in their way.

    Of several runs with one key the newest gets it. The database refuses the key if somebody enters at this moment.
    """
    claims, taken = _claims(run_ids, {})
    if claims:
        store().update_rows(PipelineRun, ("dedup",), [(pk, (key,)) for pk, key in claims.items()])
    return taken


def entered_again(run_ids: Sequence[int], *, holders: Holders | None = None) -> dict[int, int]:
    """Those of these runs whose records came in again since, with the run that is in the way.

    With the same `holders` at every call, many runs can be asked about a part at a time, the newest first.
    """
    return _claims(run_ids, {} if holders is None else holders)[1]


def in_the_way(again: Mapping[int, int]) -> str:
    """A sentence about runs that cannot go on, as `entered_again` gives them; empty when there are none."""
    if not again:
        return ""
    other = again[max(again)]
    if len(again) == 1:
        return f"1 of them stays as it is: its record came in again since, in run {other}."
    return f"{len(again):,} of them stay as they are: their records came in again since, such as in run {other}."


def at_no_race(work: Callable[[], T]) -> T:
    """Do in a transaction what reclaims keys, and again when somebody entered with one of them meanwhile."""
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                return work()
        except IntegrityError:
            continue
    with transaction.atomic():
        return work()


def _claims(run_ids: Sequence[int], holders: Holders) -> tuple[dict[int, UUID], dict[int, int]]:
    """The keys that runs can hold again, and the runs in the way of the others."""
    rows = PipelineRun.objects.entered().filter(pk__in=among(run_ids), dedup=None, finished_at__isnull=False)
    keys = _keys(list(rows.order_by("-pk")))
    found = PipelineRun.objects.filter(pipeline_id__in={pipeline for pipeline, _ in keys.values()})
    found = found.filter(dedup__in={key for _, key in keys.values()}) if keys else found.none()
    for pk, pipeline_id, key, over in found.values_list("pk", "pipeline_id", "dedup", "finished_at"):
        if key is not None:
            holders[pipeline_id, key] = pk, over is None
    claims: dict[int, UUID] = {}
    taken: dict[int, int] = {}
    for pk, slot in keys.items():
        holder = holders.get(slot)
        if holder is None:
            claims[pk] = slot[1]
            holders[slot] = pk, True
        elif holder[1]:
            taken[pk] = holder[0]
    return claims, taken


def _keys(runs: Sequence[PipelineRun]) -> dict[int, tuple[int, UUID]]:
    """The key under which each record would come in today, with its pipeline; runs that nothing keeps apart have none.

    A key that a condition of the trigger works out sees what the run was started with and the record as it is now.
    """
    triggers = Trigger.objects.in_bulk({run.trigger_id for run in runs if run.trigger_id is not None})
    policies = {pk: policy_of(each.kind, each.segment, each.reentry) or WHILE_ACTIVE for pk, each in triggers.items()}
    keyed = {pk for pk, policy in policies.items() if isinstance(policy, Mapping) and "key" in policy}
    values = _values([run for run in runs if run.trigger_id in keyed], triggers) if keyed else {}
    found: dict[int, tuple[int, UUID]] = {}
    for run in runs:
        if run.trigger_id in keyed and run.pk not in values:
            continue
        key = dedup_key(
            policy=policies.get(run.trigger_id or 0, WHILE_ACTIVE),
            subject_type_id=run.subject_type_id,
            subject_id=run.subject_id,
            value=values.get(run.pk),
        )
        if key is not None:
            found[run.pk] = run.pipeline_id, key
    return found


def _values(runs: Sequence[PipelineRun], triggers: Mapping[int, Trigger]) -> dict[int, Any]:
    """What the keys of these runs come to; without those whose key cannot be worked out any more."""
    facts = pipeline_facts({run.pipeline_id for run in runs})
    loaded = programs({run.version_id for run in runs})
    subjects = _subjects(runs)
    memories = RunContext.objects.in_bulk([run.pk for run in runs])
    now, found = engine_now(), {}
    for run in runs:
        trigger, memory = triggers[run.trigger_id or 0], memories.get(run.pk)
        entry = Entry(facts[run.pipeline_id], loaded[run.version_id].program, reentry=trigger.reentry,
                      assign=trigger.assign)  # fmt: skip
        occasion = Occasion(now, memory.trigger, memory.vars) if memory else Occasion(now)
        subject = subjects.get((run.subject_type_id, run.subject_id))
        try:
            found[run.pk] = key_value(entry, context_of(entry, subject, occasion))
        except ParameterError:
            continue
    return found


def _subjects(runs: Iterable[PipelineRun]) -> dict[tuple[int | None, int | None], dict[str, Any]]:
    wanted: dict[int, set[int]] = {}
    for run in runs:
        if run.subject_type_id is not None and run.subject_id is not None:
            wanted.setdefault(run.subject_type_id, set()).add(run.subject_id)
    loaded = {kind: subject_type(kind).load(ids) for kind, ids in wanted.items()}
    return {(kind, pk): data for kind, rows in loaded.items() for pk, data in rows.items()}
