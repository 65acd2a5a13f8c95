"""New rows that steps ask for, by model: tasks and notifications."""

from collections.abc import Collection
from functools import cached_property
from typing import Any

from crm.models import Notification, Task
from pipelines.actions.base import Create
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Cursor


def write_creates(batch: Batch) -> None:
    tasks = [each for each in batch.creates if each[2].model == "crm.task"]
    notes = [each for each in batch.creates if each[2].model == "crm.notification"]
    if not tasks and not notes:
        return
    people = People(batch, {batch.facts[cursor.pipeline_id].team.id for cursor, _, _ in batch.creates})
    if tasks:
        batch.store.create_rows(Task, [_task(batch, people, *each) for each in tasks])
    if notes:
        rows = [row for cursor, _, create in notes for row in _notifications(batch, people, cursor, create)]
        batch.store.create_rows(Notification, rows)


class People:
    """Members of some teams, found by id, address or record; never anyone else. Read when first asked for."""

    def __init__(self, batch: Batch, teams: Collection[int]) -> None:
        self._batch = batch
        self._teams = teams

    @cached_property
    def _members(self) -> list[tuple[int, int, str, str]]:
        return self._batch.store.members(self._teams)

    def find(self, team_id: int, who: Any) -> int | None:
        wanted = who.get("id") if isinstance(who, dict) else who
        for team, user_id, email, _ in self._members:
            if team == team_id and (user_id == wanted or str(email).lower() == str(wanted).lower()):
                return int(user_id)
        return None

    def address(self, team_id: int, user_id: int) -> str:
        """Where mail to a member goes; empty without an address."""
        return next((str(email) for team, user, email, _ in self._members if (team, user) == (team_id, user_id)), "")

    def of_group(self, team_id: int, group: str) -> list[int]:
        """Who has this role or works in this group."""
        return [user_id for team, user_id, names in self._groups if team == team_id and group.lower() in names]

    @cached_property
    def _groups(self) -> list[tuple[int, int, frozenset[str]]]:
        return self._batch.store.groups(self._teams)

    def owners(self, team_id: int) -> list[int]:
        return [int(user_id) for team, user_id, _, role in self._members if team == team_id and role == "owner"]


def tested_title(batch: Batch, title: str) -> str:
    """What a test run asks of people says so wherever it is read."""
    return f"Test: {title}"[:200] if batch.test else title[:200]


def _task(batch: Batch, people: People, cursor: Cursor, seq: int, create: Create) -> dict[str, Any]:
    team_id = batch.facts[cursor.pipeline_id].team.id
    values = dict(create.values)
    return {
        "team_id": team_id,
        "title": tested_title(batch, values["title"]),
        "description": values["description"],
        "priority": values["priority"],
        "due_at": values["due_at"],
        "assignee_id": people.find(team_id, values["assignee"]) if values["assignee"] else None,
        "subject_type_id": cursor.subject_type_id,
        "subject_id": cursor.subject_id,
        "run_id": cursor.id,
        "run_seq": seq,
    }


def _notifications(batch: Batch, people: People, cursor: Cursor, create: Create) -> list[dict[str, Any]]:
    team_id = batch.facts[cursor.pipeline_id].team.id
    found = people.find(team_id, create.values["user"]) if create.values["user"] else None
    return [
        {
            "team_id": team_id,
            "user_id": user_id,
            "title": tested_title(batch, create.values["title"]),
            "body": create.values["body"],
            "about_type_id": cursor.subject_type_id,
            "about_id": cursor.subject_id,
            "run_id": cursor.id,
            "created_at": batch.now,
        }
        for user_id in _told(people, team_id, found, str(create.values.get("group") or ""))
    ]


def _told(people: People, team_id: int, user_id: int | None, group: str) -> list[int]:
    """Somebody who is named, else a group, else the owners: somebody always hears of it."""
    if user_id is not None:
        return [user_id]
    return (people.of_group(team_id, group) if group else []) or people.owners(team_id)
