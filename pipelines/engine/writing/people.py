"""Tasks that visits wait for, given to people in batches and told by mail."""

from datetime import timedelta
from typing import Any

from crm.models import Task
from pipelines.actions.base import HumanRequest, WaitFor
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Cursor
from pipelines.engine.plain import plain
from pipelines.engine.task_mail import TaskLetter, send_letters
from pipelines.engine.writing.creates import People, tested_title
from pipelines.engine.writing.turns import Turns
from pipelines.models import HumanTask


def write_tasks(batch: Batch) -> None:
    """The tasks that visits of a batch wait for: one insert per table."""
    asked = [(cursor, wait, wait.human) for cursor, wait in batch.waits if wait.human is not None]
    if not asked:
        return
    people = People(batch, {batch.facts[cursor.pipeline_id].team.id for cursor, _, _ in asked})
    turns = Turns([(cursor, human) for cursor, _, human in asked])
    tasks = [_task(batch, people, turns, *each) for each in asked]
    turns.save()
    task_ids = batch.store.create_rows(Task, tasks)
    rows = [_human(batch, task_id, *each) for task_id, each in zip(task_ids, asked, strict=True)]
    human_ids = batch.store.create_rows(HumanTask, rows)
    letters = [
        _first_letter(batch, people, human_id, task, *each)
        for human_id, task, each in zip(human_ids, tasks, asked, strict=True)
        if _is_told(people, task, each[2])
    ]
    send_letters(batch.store, letters, now=batch.now)


def _task(
    batch: Batch, people: People, turns: Turns, cursor: Cursor, wait: WaitFor, human: HumanRequest
) -> dict[str, Any]:
    team_id = batch.facts[cursor.pipeline_id].team.id
    return {
        "team_id": team_id,
        "title": tested_title(batch, human.title),
        "description": human.description,
        "priority": human.priority,
        "due_at": human.due_at,
        "assignee_id": turns.whose(people, team_id, cursor, human),
        "subject_type_id": cursor.subject_type_id,
        "subject_id": cursor.subject_id,
        "run_id": cursor.id,
        "run_seq": cursor.seq,
    }


def _human(batch: Batch, task_id: int, cursor: Cursor, wait: WaitFor, human: HumanRequest) -> dict[str, Any]:
    every = int(human.remind) if human.remind and human.remind >= 60 else None
    return {
        "task_id": task_id,
        "run_id": cursor.id,
        "seq": cursor.seq,
        "form": plain(human.form),
        "outcomes": list(human.outcomes),
        "team_role": (human.role or human.team)[:60],
        "expires_at": wait.deadline,
        "notify": human.notify,
        "remind_every": every,
        "remind_at": batch.now + timedelta(seconds=every) if every else None,
        "mails": 1,
        "created_at": batch.now,
    }


def _is_told(people: People, task: dict[str, Any], human: HumanRequest) -> bool:
    return human.notify and bool(task["assignee_id"] and people.address(task["team_id"], task["assignee_id"]))


def _first_letter(
    batch: Batch, people: People, human_id: int, task: dict[str, Any], cursor: Cursor, wait: WaitFor, _: HumanRequest
) -> TaskLetter:
    facts = batch.facts[cursor.pipeline_id]
    return TaskLetter(
        team=facts.team,
        pipeline=facts.name,
        run_id=cursor.id,
        seq=cursor.seq,
        n=0,
        step_id=cursor.step_id,
        subject_type_id=cursor.subject_type_id,
        subject_id=cursor.subject_id,
        human_id=human_id,
        user_id=task["assignee_id"],
        recipient=people.address(facts.team.id, task["assignee_id"]),
        title=task["title"],
        description=task["description"],
        about=str((batch.subject_of(cursor) or {}).get("name") or ""),
        due_at=task["due_at"],
        expires_at=wait.deadline,
        test=batch.test,
    )
