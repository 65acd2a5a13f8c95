"""How many may enter: in any hour by a trigger, and ever into a pipeline. Who is over is refused with the reason."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import F, QuerySet

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
    sentence = f"The trigger lets in {limit:,} an hour (max_per_hour), and so many had entered within the last hour."
    return Refusal(entry, row.subject_id, Decision.LIMIT, [{"error": sentence}], row.subject_type_id)


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
    why = [{"error": f"This pipeline takes {limit} records (max_executions), and they are in."}]
    return Refusal(entry, row.subject_id, Decision.LIMIT, why, row.subject_type_id)


def holders(entry: Entry, rows: Sequence[NewRun]) -> QuerySet[PipelineRun]:
    """Runs that hold the keys of these newcomers."""
    keys = [row.dedup for row in rows if row.pipeline_id == entry.facts.id and row.dedup]
    return PipelineRun.objects.filter(pipeline_id=entry.facts.id, dedup__in=keys)
