"""How many may enter: in any hour by a trigger, and ever into a pipeline. Who is over is refused with the reason."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import F, OuterRef, QuerySet, Subquery

from pipelines.engine.cursor import NewRun
from pipelines.engine.entry import Decision, Entry, Refusal
from pipelines.engine.keys import RESTART
from pipelines.models import Pipeline, PipelineRun, Trigger

HOUR: Final = timedelta(hours=1)


def within_limits(
    entries: Sequence[Entry], rows: list[NewRun], refusals: list[Refusal], *, now: datetime
) -> list[NewRun]:
    """Those for whom there is a place; a partial batch takes what is left, and who is in already takes none."""
    rows = _within_the_hour(entries, rows, refusals, now)
    return _within_executions(entries, rows, refusals)


def _within_the_hour(
    entries: Sequence[Entry], rows: list[NewRun], refusals: list[Refusal], now: datetime
) -> list[NewRun]:
    """Places of triggers with `max_per_hour`: at most so many runs in any sixty minutes."""
    limited = {entry.trigger_id: entry for entry in entries if entry.max_per_hour and entry.trigger_id}
    if not limited:
        return rows
    # In one order, so that two batches never wait for each other.
    list(Trigger.objects.filter(pk__in=limited).order_by("pk").select_for_update(no_key=True).values_list("pk"))
    for trigger_id, entry in limited.items():
        limit = int(entry.max_per_hour or 0)
        # Read backwards along the index of the pipeline: as many rows as the limit lets in.
        mine = PipelineRun.objects.filter(pipeline_id=entry.facts.id, trigger_id=trigger_id).order_by("-pk")
        begun = [at for at in mine.values_list("created_at", flat=True)[:limit] if at > now - HOUR]
        newcomers = [row for row in _newcomers(entry, rows) if row.trigger_id == trigger_id]
        over = newcomers[max(0, limit - len(begun)) :]
        refusals += [_too_many(entry, row, limit) for row in over]
        refused = {id(row) for row in over}
        rows = [row for row in rows if id(row) not in refused]
    return rows


def _too_many(entry: Entry, row: NewRun, limit: int) -> Refusal:
    return Refusal(entry, row.subject_id, Decision.LIMIT, [{"error": hour_is_full(limit)}], row.subject_type_id)


def hour_is_full(limit: int) -> str:
    """Why a trigger with `max_per_hour` lets nobody in for now."""
    return f"The trigger lets in {limit:,} an hour (max_per_hour), and so many had entered within the last hour."


def pipeline_is_full(limit: int) -> str:
    """Why a pipeline with `max_executions` takes nobody any more."""
    return (
        f"This pipeline takes {limit:,} record{'' if limit == 1 else 's'} in all (max_executions), and so many are in."
    )


def _within_executions(entries: Sequence[Entry], rows: list[NewRun], refusals: list[Refusal]) -> list[NewRun]:
    """Places of pipelines with `max_executions`."""
    for entry in {entry.facts.id: entry for entry in entries}.values():
        limit = entry.program.settings.get("max_executions")
        if not limit:
            continue
        taken = Pipeline.objects.select_for_update().values_list("enrolled_total", flat=True).get(pk=entry.facts.id)
        newcomers = _newcomers(entry, rows)
        allowed = max(0, int(limit) - int(taken))
        refused = {id(row) for row in newcomers[allowed:]}
        refusals += [_over(entry, row, limit) for row in newcomers[allowed:]]
        rows = [row for row in rows if id(row) not in refused]
        Pipeline.objects.filter(pk=entry.facts.id).update(enrolled_total=F("enrolled_total") + len(newcomers[:allowed]))
    return rows


def full_hours(triggers: Collection[Trigger], *, now: datetime) -> set[int]:
    """Triggers whose `max_per_hour` is used up; looked at without a lock, one statement for each number there is."""
    full: set[int] = set()
    for limit in {each.max_per_hour for each in triggers if each.max_per_hour}:
        mine = PipelineRun.objects.filter(pipeline_id=OuterRef("pipeline_id"), trigger_id=OuterRef("pk")).order_by(
            "-pk"
        )
        last = Subquery(mine.values("created_at")[limit - 1 : limit])
        rows = Trigger.objects.filter(pk__in=[each.pk for each in triggers if each.max_per_hour == limit])
        full |= set(rows.annotate(last=last).filter(last__gt=now - HOUR).values_list("pk", flat=True))
    return full


def _newcomers(entry: Entry, rows: Sequence[NewRun]) -> list[NewRun]:
    """Rows that no key will refuse, each key once."""
    held = set() if entry.reentry == RESTART else set(holders(entry, rows).values_list("dedup", flat=True))
    found = []
    for row in rows:
        if row.pipeline_id != entry.facts.id or row.dedup in held:
            continue
        if row.dedup is not None:
            held.add(row.dedup)
        found.append(row)
    return found


def _over(entry: Entry, row: NewRun, limit: int) -> Refusal:
    why = [{"error": pipeline_is_full(int(limit))}]
    return Refusal(entry, row.subject_id, Decision.LIMIT, why, row.subject_type_id)


def holders(entry: Entry, rows: Sequence[NewRun]) -> QuerySet[PipelineRun]:
    """Runs that hold the keys of these newcomers."""
    keys = [row.dedup for row in rows if row.pipeline_id == entry.facts.id and row.dedup]
    return PipelineRun.objects.filter(pipeline_id=entry.facts.id, dedup__in=keys)
