"""The run that has a newcomer's place: which it is, what keeps others out, and from when one may come again."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pipelines.definition.durations import parse_duration
from pipelines.engine.keys import ONCE, RELEASED_ON_LEAVING
from pipelines.models import PipelineRun

# As many keys as one statement asks for.
TOGETHER = 1000


@dataclass(frozen=True, slots=True)
class Holder:
    """A run that holds a key."""

    run_id: int
    finished_at: datetime | None

    def why(self, policy: Any) -> dict[str, Any]:
        """A clause with the sentence; `again_at` is there where a time alone keeps the newcomer out."""
        told: dict[str, Any] = {"run": self.run_id}
        if self.finished_at is None:
            return {"note": f"Run {self.run_id} is on its way in this pipeline.", **told}
        ended = f"Run {self.run_id} ended on {_day(self.finished_at)}"
        if isinstance(policy, Mapping) and "after" in policy:
            again = self.finished_at + timedelta(seconds=parse_duration(policy["after"]))
            return {
                "note": f"{ended}; one may come in again from {_day(again)}.",
                **told,
                "again_at": again.isoformat(),
            }
        if isinstance(policy, Mapping) and "key" in policy:
            return {"note": f"{ended}, and was about the same: each comes in once.", **told}
        if policy == RELEASED_ON_LEAVING:
            return {"note": f"{ended}; one may come in again after having left the segment.", **told}
        if policy in (None, ONCE):
            return {"note": f"{ended}, and nobody comes in twice.", **told}
        return {"note": f"{ended}, and was begun by the same event.", **told}


def held_by(keys: Iterable[tuple[int, UUID | None]]) -> dict[tuple[int, UUID], Holder]:
    """Who holds these keys (pipeline, key), by key; one statement a thousand."""
    wanted = list({(pipeline, key) for pipeline, key in keys if key is not None})
    found: dict[tuple[int, UUID], Holder] = {}
    for start in range(0, len(wanted), TOGETHER):
        found |= _read(wanted[start : start + TOGETHER])
    return found


def _read(wanted: Collection[tuple[int, UUID]]) -> dict[tuple[int, UUID], Holder]:
    rows = PipelineRun.objects.filter(
        pipeline_id__in={pipeline for pipeline, _ in wanted}, dedup__in={key for _, key in wanted}
    )
    return {
        (pipeline, key): Holder(pk, finished_at)
        for pipeline, key, pk, finished_at in rows.values_list("pipeline_id", "dedup", "pk", "finished_at")
        if key is not None
    }


def _day(moment: datetime) -> str:
    return f"{moment:%d %b %Y, %H:%M} UTC"
