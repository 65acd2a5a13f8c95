"""Taking, handing over and finishing tasks: who may, and what happens to those that have a form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from django.db import connection, transaction

from crm.models import Member, Task, Team
from crm.permissions import LEADERS, WORKERS
from crm.tasks import complete_task


@dataclass(frozen=True, slots=True)
class Worker:
    """A person or key that works in a team; `user` is None for a key that belongs to nobody."""

    role: str | None
    user: Any = None
    groups: frozenset[str] = frozenset()
    label: str = ""

    @property
    def words(self) -> frozenset[str]:
        """What tasks may be given to and this one may take: the groups and the role."""
        return self.groups | {str(self.role)}


class TaskRefused(Exception):
    """The task cannot be taken, handed over or finished so; says why."""


class TaskClosed(TaskRefused):
    """Somebody or something was quicker."""


class NotYourTask(TaskRefused):
    """It is for somebody else to do."""


class AnswersRefused(TaskRefused):
    """Answers that do not fit the form: a sentence by the name of each field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("The form has answers that do not fit.")
        self.errors = dict(errors)


@dataclass(frozen=True, slots=True)
class TaskForm:
    """The form of a task, as a higher app gave it: its fields as plain data, and the buttons below it."""

    fields: Sequence[Mapping[str, Any]]
    outcomes: Sequence[str]
    status: str
    group: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    outcome: str = ""
    expires_at: datetime | None = None
    address: str = ""

    @property
    def asks(self) -> bool:
        """Whether there is anything to say beyond that it is done."""
        return bool(self.fields) or len(self.outcomes) > 1

    @property
    def answered(self) -> Sequence[tuple[str, Any]]:
        """Each question with what was answered, in words."""
        return [(str(each["label"]), _spoken(self.values.get(each["name"]))) for each in self.fields]


def _spoken(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name") or value.get("id") or "")
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "—" if value is None or value == "" else str(value)


class FormOwner(Protocol):
    """What the app above does with tasks that somebody waits for."""

    def forms(self, tasks: Sequence[Task], /) -> Mapping[int, TaskForm]:
        """Forms by task, one statement; tasks without one are missing."""

    def complete(self, task: Task, worker: Worker, outcome: str, values: Mapping[str, Any], now: datetime, /) -> None:
        """Check the answers, store them and let whoever waits go on, in one transaction; raises TaskRefused."""

    def assigned(self, task: Task, claimed: bool, now: datetime, /) -> None:
        """The task has somebody else now, or nobody; called in the transaction that says so."""


class FormSlot:
    """Room for the one app that gives tasks forms; empty when none does."""

    def __init__(self) -> None:
        self.owner: FormOwner | None = None

    def register(self, owner: FormOwner | None) -> None:
        self.owner = owner

    def forms(self, tasks: Sequence[Task]) -> Mapping[int, TaskForm]:
        """Only tasks of runs can have a form, so a list of others costs nothing."""
        asked = [task for task in tasks if task.run_id is not None]
        return self.owner.forms(asked) if self.owner is not None and asked else {}

    def form(self, task: Task) -> TaskForm | None:
        return self.forms([task]).get(task.pk)


form_slot = FormSlot()


def worker_of_member(*, user: Any, team: Team | None) -> Worker:
    """Who somebody is in a team; without a membership nobody, unless a superuser."""
    member = Member.objects.filter(user=user, team=team).first() if team is not None else None
    role = member.role if member else ("owner" if user.is_superuser else None)
    groups = frozenset(str(name).lower() for name in (member.groups if member else ()))
    return Worker(role=role, user=user, groups=groups, label=user.get_full_name() or user.get_username())


def may_work(*, worker: Worker, task: Task, group: str = "", group_is_empty: bool = False) -> bool:
    """Own tasks, tasks nobody has that are for one's group, and for leaders all.

    A group that nobody works in is everybody's, so that nothing is left lying.
    """
    if worker.role in LEADERS:
        return True
    if worker.role not in WORKERS:
        return False
    if task.assignee_id is not None:
        return worker.user is not None and task.assignee_id == worker.user.pk
    return not group or group.lower() in worker.words or group_is_empty


def group_is_empty(*, team_id: int, group: str) -> bool:
    """Whether nobody of the team works in a group or has the role of that name."""
    members = Member.objects.filter(team_id=team_id, user__is_active=True).values_list("role", "groups")
    return not any(group.lower() in {role, *(str(name).lower() for name in groups)} for role, groups in members)


def claim_task(*, task: Task, worker: Worker, now: datetime) -> Task:
    """Put an open task on one's own list; raises TaskRefused."""
    if worker.user is None:
        raise NotYourTask("This key belongs to nobody, so it has no list: make a key of a person.")
    with transaction.atomic():
        locked = _open_task(task)
        _require(locked, worker)
        return _assign(locked, worker.user.pk, claimed=True, now=now)


def reassign_task(*, task: Task, worker: Worker, user_id: int | None, now: datetime) -> Task:
    """Hand an open task to another member of its team, or back to nobody; raises TaskRefused."""
    with transaction.atomic():
        locked = _open_task(task)
        _require(locked, worker)
        if user_id is not None:
            member = Member.objects.filter(team_id=task.team_id, user_id=user_id, user__is_active=True).first()
            if member is None:
                raise AnswersRefused({"assignee": "Choose a member of the team."})
            if member.role not in WORKERS:
                raise AnswersRefused({"assignee": "This member may only look, not work on tasks."})
        return _assign(locked, user_id, claimed=False, now=now)


def finish_task(
    *, task: Task, worker: Worker, outcome: str = "", values: Mapping[str, Any] | None = None, now: datetime
) -> None:
    """Mark a task done, through its form if it has one; raises TaskRefused."""
    form = form_slot.form(task)
    if form is not None and form_slot.owner is not None:
        form_slot.owner.complete(task, worker, outcome, values or {}, now)
        return
    if worker.role not in WORKERS:
        raise NotYourTask("Your role may only look at tasks.")
    if values or outcome:
        raise AnswersRefused(dict.fromkeys(values or {"outcome": ""}, "This task has no form."))
    if not complete_task(task=task, now=now):
        raise TaskClosed(f"This task is not open: it is {task.get_status_display().lower()}.")


def _open_task(task: Task) -> Task:
    rows = Task.objects.filter(pk=task.pk)
    locked = (rows.select_for_update() if connection.vendor == "postgresql" else rows).get()
    if locked.status != Task.Status.OPEN:
        raise TaskClosed(f"This task is not open: it is {locked.get_status_display().lower()}.")
    return locked


def _require(task: Task, worker: Worker) -> None:
    form = form_slot.form(task)
    group = form.group if form else ""
    empty = bool(group) and group_is_empty(team_id=task.team_id, group=group)
    if not may_work(worker=worker, task=task, group=group, group_is_empty=empty):
        raise NotYourTask(whose(task, group))


def whose(task: Task, group: str) -> str:
    """A sentence that says whom to ask."""
    if task.assignee is not None:
        name = task.assignee.get_full_name() or task.assignee.get_username()
        return f"This task is {name}'s: a manager can hand it over."
    return f"This task is for {group}." if group else "Your role may only look at tasks."


def _assign(task: Task, user_id: int | None, *, claimed: bool, now: datetime) -> Task:
    changed = task.assignee_id != user_id
    task.assignee_id = user_id
    task.save(update_fields=["assignee"])
    if form_slot.owner is not None and (changed or claimed):
        form_slot.owner.assigned(task, claimed, now)
    return task
