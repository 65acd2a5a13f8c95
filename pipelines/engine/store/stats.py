"""Cells of the step statistics and how they add up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from pipelines.models import StepStat

BUCKETS = 20


def bucket(seconds: float) -> int:
    """The log2 bucket of a duration: 0 is under a second, 19 everything over three days."""
    return min(BUCKETS - 1, max(0, int(seconds)).bit_length())


def empty_histogram() -> list[int]:
    return [0] * BUCKETS


@dataclass(slots=True)
class StatCell:
    """What a batch adds to one (step, day, slot, outcome)."""

    step_id: int
    day: date
    slot: int
    outcome: str
    n: int = 0
    work_ms: int = 0
    wait_s: int = 0
    hist: list[int] = field(default_factory=empty_histogram)

    @property
    def key(self) -> tuple[int, date, int, str]:
        return (self.step_id, self.day, self.slot, self.outcome)

    def add(self, *, seconds: float, times: int = 1) -> None:
        self.n += times
        self.wait_s += int(seconds) * times
        self.hist[bucket(seconds)] += times


def merge_cells(
    cells: Sequence[StatCell], known: Mapping[tuple[int, date, int, str], StepStat]
) -> tuple[list[StepStat], list[StepStat]]:
    """Rows to insert and rows to update."""
    fresh: list[StepStat] = []
    changed: list[StepStat] = []
    for cell in cells:
        stat = known.get(cell.key)
        if stat is None:
            fresh.append(
                StepStat(
                    step_id=cell.step_id,
                    day=cell.day,
                    slot=cell.slot,
                    outcome=cell.outcome,
                    n=cell.n,
                    work_ms=cell.work_ms,
                    wait_s=cell.wait_s,
                    hist=cell.hist,
                )
            )
            continue
        stat.n += cell.n
        stat.work_ms += cell.work_ms
        stat.wait_s += cell.wait_s
        stat.hist = [a + b for a, b in zip(stat.hist or empty_histogram(), cell.hist, strict=True)]
        changed.append(stat)
    return fresh, changed
