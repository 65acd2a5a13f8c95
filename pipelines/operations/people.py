"""Tasks with a form: shown, answered, handed over. Answering lets the run go on in the same transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.urls import reverse

from crm.models import Member, Task, Team
from crm.scoping.rows import rows_of_team
from crm.work import AnswersRefused, NotYourTask, TaskClosed, TaskForm, Worker, group_is_empty, may_work, whose
from pipelines.actions.people import COMPLETED
from pipelines.definition.answers import Lookups, clean_answers, prefilled
from pipelines.definition.forms import parse_form
from pipelines.engine.answers import signal_of_task
from pipelines.engine.clock import engine_now
from pipelines.engine.events import publish
from pipelines.engine.kick import kick
from pipelines.engine.plain import plain
from pipelines.engine.reminders import letters_for
from pipelines.engine.store import store
from pipelines.engine.task_mail import send_letters
from pipelines.engine.waking import wake
from pipelines.models import HumanTask
from pipelines.models.human import OPEN
from pipelines.subjects import subject_types


class HumanTasks:
    """What pipelines do with tasks that a run waits for."""

    def forms(self, tasks: Sequence[Task], /) -> Mapping[int, TaskForm]:
        rows = HumanTask.objects.filter(task_id__in=[task.pk for task in tasks])
        return {row.task_id: form_of(row) for row in rows}

    def complete(self, task: Task, worker: Worker, outcome: str, values: Mapping[str, Any], now: datetime, /) -> None:
        answer_form(task=task, worker=worker, outcome=outcome, values=values)

    def assigned(self, task: Task, claimed: bool, now: datetime, /) -> None:
        """Links that were sent stop working by themselves; the new person is told by mail."""
        row = _locked(HumanTask.objects.filter(task=task, status__in=OPEN)).select_related("run").first()
        if row is None:
            return
        row.task = task
        row.status = HumanTask.Status.CLAIMED if claimed else HumanTask.Status.OPEN
        task.refresh_from_db(fields=["assignee"])
        tells = row.notify and not claimed and task.assignee is not None and bool(task.assignee.email)
        if tells:
            send_letters(store(), letters_for([row]), now=engine_now())
            transaction.on_commit(kick)
        row.mails += int(tells)
        row.save(update_fields=["status", "mails"])


def form_of(row: HumanTask) -> TaskForm:
    """The stored form as pages and programs show it."""
    fields = parse_form(row.form)
    return TaskForm(
        fields=[field.as_dict() for field in fields],
        outcomes=outcomes_of(row),
        status=row.get_status_display(),
        group=row.team_role,
        values=row.response or prefilled(fields),
        outcome=row.outcome,
        expires_at=row.expires_at,
        address=f"{reverse('inbox')}?task={row.task_id}" if row.is_open else "",
    )


def outcomes_of(row: HumanTask) -> list[str]:
    """The answers one may give; a form without declared ones has just one."""
    return [str(name) for name in row.outcomes] or [COMPLETED]


def answer_form(*, task: Task, worker: Worker, outcome: str, values: Mapping[str, Any]) -> HumanTask:
    """Check and store the answers, finish the task and let the run go on: one transaction, once.

    Raises TaskClosed (and says who was quicker), NotYourTask or AnswersRefused.
    """
    now = engine_now()
    with transaction.atomic():
        row = _lock_all(task)
        if not row.is_open:
            if _is_repeated(row, worker, outcome, values):
                return row
            raise TaskClosed(closed_words(row))
        group = row.team_role
        empty = bool(group) and group_is_empty(team_id=row.task.team_id, group=group)
        if not may_work(worker=worker, task=row.task, group=group, group_is_empty=empty):
            raise NotYourTask(whose(row.task, group))
        cleaned = _cleaned(row, outcome, values)
        _store(row, cleaned, outcome or COMPLETED, worker, now)
        wake(answers={row.run_id: (row.seq, signal_of_task(row))}, now=now, since={row.run_id: row.created_at})
        transaction.on_commit(kick)
    return row


def _is_repeated(row: HumanTask, worker: Worker, outcome: str, values: Mapping[str, Any]) -> bool:
    """The same person says the same thing again, as after a lost answer."""
    if row.status != HumanTask.Status.COMPLETED or worker.user is None or row.completed_by_id != worker.user.pk:
        return False
    try:
        again = _cleaned(row, outcome, values)
    except AnswersRefused:
        return False
    stored = row.response or {}
    return (outcome or COMPLETED) == row.outcome and all(
        stored.get(name) == value for name, value in plain(again).items()
    )


def _lock_all(task: Task) -> HumanTask:
    """Run, task, form: every path locks in this order."""
    store().claim_runs(run_ids=[int(task.run_id or 0)])
    _locked(Task.objects.filter(pk=task.pk)).first()
    row: HumanTask = _locked(HumanTask.objects.filter(task=task)).select_related("task__team", "completed_by").get()
    return row


def _locked(rows: Any) -> Any:
    return rows.select_for_update(of=("self",)) if connection.vendor == "postgresql" else rows


def _cleaned(row: HumanTask, outcome: str, values: Mapping[str, Any]) -> dict[str, Any]:
    team = row.task.team
    allowed = outcomes_of(row)
    answers = clean_answers(parse_form(row.form), values, zone=ZoneInfo(team.timezone), lookups=lookups_of(team))
    errors = dict(answers.errors)
    if outcome and outcome not in allowed:
        errors["outcome"] = f"Choose one of {', '.join(allowed)}."
    elif not outcome and row.outcomes:
        errors["outcome"] = f"Say which: {', '.join(allowed)}."
    if errors:
        raise AnswersRefused(errors)
    return dict(answers.values)


def _store(row: HumanTask, values: dict[str, Any], outcome: str, worker: Worker, now: datetime) -> None:
    user = worker.user
    by = {"id": user.pk, "email": user.email, "name": worker.label} if user is not None else {"name": worker.label}
    row.status, row.outcome, row.finished_at, row.remind_at = HumanTask.Status.COMPLETED, outcome, now, None
    row.response = plain({**values, "outcome": outcome, "completed_by": by})
    row.completed_by, row.completed_label = user, worker.label[:150]
    row.save()
    row.task.status, row.task.completed_at = Task.Status.DONE, now
    row.task.save(update_fields=["status", "completed_at"])
    task = row.task
    publish(
        team_id=task.team_id,
        type="form_answered",
        subject_type_id=task.subject_type_id,
        subject_id=task.subject_id,
        payload={"task": task.pk, "title": task.title, "outcome": outcome, "values": values, "run": task.run_id},
        actor_id=user.pk if user is not None else None,
        now=now,
    )


def closed_words(row: HumanTask) -> str:
    """Who or what was quicker, in a sentence, by the clock of the team."""
    team = row.task.team
    at = row.finished_at.astimezone(ZoneInfo(team.timezone)) if row.finished_at else None
    day = f"{at.day} {at:%b %Y, %H:%M} ({team.timezone})" if at else ""
    match row.status:
        case HumanTask.Status.COMPLETED:
            return f"{row.completed_label or 'Somebody'} answered this already, on {day}."
        case HumanTask.Status.EXPIRED:
            return f"Its time was over on {day}, and the pipeline went on without an answer."
        case _:
            return "This is not needed any more: the pipeline was stopped."


def lookups_of(team: Team) -> Lookups:
    """People and records of a team, found by what a form sends."""
    return Lookups(user=lambda wanted: _user(team, wanted), record=lambda wanted: _record(team, wanted))


def _user(team: Team, wanted: Any) -> dict[str, Any] | None:
    given = wanted.get("id") if isinstance(wanted, Mapping) else wanted
    members = Member.objects.filter(team=team, user__is_active=True).select_related("user")
    text = str(given).strip()
    if text.isascii() and text.isdigit() and len(text) < 18:
        found = members.filter(user_id=int(text)).first()
    else:
        found = members.filter(user__email__iexact=text[:254]).first() if text else None
    if found is None:
        return None
    user = found.user
    return {"id": user.pk, "email": user.email, "name": user.get_full_name() or user.get_username()}


def _record(team: Team, wanted: Any) -> dict[str, Any] | None:
    kind = subject_types().get(str(wanted.get("type")))
    key = wanted.get("id")
    if kind is None or isinstance(key, bool) or not isinstance(key, int) or not 0 < key < 2**63:
        return None
    found = rows_of_team(model=kind.model, team=team).filter(pk=key).first()
    return {"type": kind.label, "id": key, "name": str(found)} if found is not None else None
