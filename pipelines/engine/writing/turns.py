"""Whose turn it is among several people who share the tasks of a step."""

from collections.abc import Collection, Mapping
from typing import Any

from pipelines.actions.base import HumanRequest
from pipelines.engine.cursor import Cursor
from pipelines.engine.writing.creates import People
from pipelines.models import EngineState


class Turns:
    """Gives each task of a step to the next of its people; two workers never give out one turn twice.

    The number of turns that were given out is a row for each step that names several. It is locked until the batch
    is written, so what is rolled back gives its turns back.
    """

    def __init__(self, asked: Collection[tuple[Cursor, HumanRequest]]) -> None:
        names = sorted({_name(cursor) for cursor, human in asked if isinstance(human.assignee, list | tuple)})
        self._taken: dict[str, int] = {}
        if names:
            EngineState.objects.bulk_create([EngineState(name=name) for name in names], ignore_conflicts=True)
            rows = EngineState.objects.filter(name__in=names).order_by("name").select_for_update()
            self._taken = {name: _taken(data) for name, data in rows.values_list("name", "data")}

    def whose(self, people: People, team_id: int, cursor: Cursor, human: HumanRequest) -> int | None:
        """The id of the member who gets this task, None for nobody; who is no member any more is passed over."""
        if not isinstance(human.assignee, list | tuple):
            return people.find(team_id, human.assignee) if human.assignee else None
        found = list(dict.fromkeys(filter(None, (people.find(team_id, who) for who in human.assignee))))
        if not found:
            return None
        turn = self._taken[_name(cursor)]
        self._taken[_name(cursor)] = turn + 1
        return found[turn % len(found)]

    def save(self) -> None:
        """Write how many turns are given out now; one statement, none where nobody takes turns."""
        rows = [EngineState(name=name, data={"taken": taken}) for name, taken in self._taken.items()]
        if rows:
            EngineState.objects.bulk_create(rows, update_conflicts=True, unique_fields=["name"], update_fields=["data"])


def _name(cursor: Cursor) -> str:
    return f"turn:{cursor.step_id}"


def _taken(data: Any) -> int:
    taken = data.get("taken") if isinstance(data, Mapping) else None
    return taken if isinstance(taken, int) else 0
