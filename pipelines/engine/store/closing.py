"""What the statements that end a batch are given: what rows have in common once, as a group that each row names."""

import json
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from pipelines.engine.cursor import Cursor, Visit
from pipelines.engine.store.arrays import group, literal, numbers
from pipelines.engine.store.stats import StatCell


def moves(cursors: Sequence[Cursor]) -> list[Any]:
    """The parameters of MOVE."""
    keys = [
        (
            cursor.version_id, cursor.dedup is not None, cursor.status, cursor.step_id, cursor.last_step_id,
            cursor.next_step_at, cursor.phase, cursor.attempt, cursor.seq, cursor.outcome, cursor.reason,
            cursor.finished_at, *(cursor.counts or (None, None)),
        )
        for cursor in cursors
    ]  # fmt: skip
    return [numbers(cursor.id for cursor in cursors), *_grouped(keys)]


def entries(visits: Sequence[Visit], at: datetime, batch: uuid.UUID) -> list[Any]:
    """The parameters of LOG."""
    texts = Texts()
    outputs = [texts.of(visit.output) for visit in visits]
    times = Counter(outputs)
    own = [text if times[text] == 1 else None for text in outputs]
    keys = [
        (
            visit.step_id, visit.seq, visit.attempt, visit.event, visit.outcome, visit.started_at,
            visit.finished_at, texts.of(visit.why), output if alone is None else None, visit.error,
        )
        for visit, output, alone in zip(visits, outputs, own, strict=True)
    ]  # fmt: skip
    runs = numbers([visit.run_id for visit in visits])
    return [at, batch, runs, _or_nothing(numbers, [visit.root_id for visit in visits]), _or_nothing(literal, own),
            *_grouped(keys)]  # fmt: skip


def _or_nothing(shown: Callable[[list[Any]], str], values: list[Any]) -> str:
    """An empty array where no value is one: beside longer ones it counts as many nulls."""
    return shown(values) if values.count(None) < len(values) else "{}"


def _grouped(keys: Sequence[tuple[Any, ...]]) -> list[str]:
    """The group of each row, and the columns of the groups."""
    members, firsts = group(keys)
    return [numbers(members), *(literal(column) for column in zip(*(keys[first] for first in firsts), strict=True))]


def tallies(cells: Sequence[StatCell]) -> list[Any]:
    """The parameters of STAT."""
    # One order for everybody, so that two workers never wait for each other in a ring.
    ordered = sorted(cells, key=lambda cell: cell.key)
    names = ("step_id", "day", "slot", "outcome", "n", "work_ms", "wait_s")
    columns = [literal([getattr(cell, name) for cell in ordered]) for name in names]
    return [*columns, literal([_text(cell.hist) for cell in ordered])]


class Texts(dict[str, str]):
    """JSON texts of values most of which are alike: telling that they are is cheaper than writing them."""

    def of(self, value: Any) -> str | None:
        if value is None:
            return None
        shown = repr(value)
        text = self.get(shown)
        if text is None:
            text = self[shown] = json.dumps(value)
        return text


def _text(value: Any) -> str | None:
    """JSON as text: an array of texts is cheaper to send than one of documents."""
    return None if value is None else json.dumps(value)
