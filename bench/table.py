"""Results as a table one can paste into the docs."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Row:
    """One way to do the job: how many per second in each round."""

    name: str
    rates: Sequence[float]

    @property
    def rate(self) -> float:
        return median(self.rates)


def show(title: str, rows: Sequence[Row], *, unit: str) -> str:
    """The first row is the floor that every ratio refers to."""
    floor = rows[0].rate
    lines = [title, "", f"| way | {unit} (median) | lowest | highest | of the floor |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {row.name} | {row.rate:,.0f} | {min(row.rates):,.0f} | {max(row.rates):,.0f} | {row.rate / floor:.3f} |"
        for row in rows
    ]
    return "\n".join([*lines, ""])
