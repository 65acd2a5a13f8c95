"""What the doctor says: one problem in a sentence, how many, which, and what helps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import QuerySet

SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The engine's time for due dates, the real one for leases and heartbeats, and how late is late."""

    now: datetime
    real_now: datetime
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One kind of trouble. `repair` mends it and says what it did; without one a person must act."""

    code: str
    problem: str
    advice: str
    count: int = 1
    ids: tuple[int | str, ...] = ()
    repair: Callable[[], str] | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "problem": self.problem,
            "count": self.count,
            "ids": list(self.ids),
            "advice": self.advice,
            "fixable": self.repair is not None,
        }


Examination = Callable[[Clocks], Sequence[Finding]]


def some(
    rows: QuerySet[Any], *, code: str, problem: str, advice: str, repair: Callable[[], str] | None = None
) -> list[Finding]:
    """A finding about rows, none when there are no rows; `{count}` in the sentence is their number."""
    count = rows.count()
    if not count:
        return []
    ids = tuple(rows.order_by("pk").values_list("pk", flat=True)[:SHOWN])
    problem = problem.format(count=count, s="" if count == 1 else "s", are="is" if count == 1 else "are")
    return [Finding(code=code, problem=problem, advice=advice, count=count, ids=ids, repair=repair)]
