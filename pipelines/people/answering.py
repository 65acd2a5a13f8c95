"""The public page behind the link of a mail: whoever has it answers as one person, and only this form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from crm.auditing import audit_request
from crm.models import Member
from crm.permissions import WORKERS
from crm.work import AnswersRefused, NotYourTask, TaskClosed, worker_of_member
from pipelines.engine.clock import engine_now
from pipelines.engine.task_links import TaskLink, unseal
from pipelines.models import HumanTask
from pipelines.operations.people import answer_form, closed_words, form_of
from pipelines.people.questions import questions, read_answers
from pipelines.people.words import outcome_words, people_of, team_zone

PREFIX = "a-"


@dataclass(frozen=True, slots=True)
class Closed:
    """Why there is nothing to answer."""

    title: str
    words: str


# The link in the mail is the key, and no cookie counts. Without a referrer, browsers send "null" as the form's origin.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def answer_task(request: HttpRequest, token: str) -> HttpResponse:
    """GET only shows, since scanners of mail open every link; POST answers."""
    link = unseal(token)
    row = _row(link)
    closed = _closed(link, row)
    if closed is not None or link is None or row is None:
        return _page(request, {"closed": closed}, status=410)
    worker = worker_of_member(user=row.task.assignee, team=row.task.team)
    form = form_of(row)
    if request.method != "POST":
        return _page(request, _context(row, form.values, {}))
    outcome = request.POST.get("outcome", "")[:40]
    values = read_answers(form.fields, request.POST, prefix=PREFIX)
    try:
        answered = answer_form(task=row.task, worker=worker, outcome=outcome, values=values)
    except AnswersRefused as refused:
        return _page(request, _context(row, values, refused.errors), status=422)
    except (TaskClosed, NotYourTask) as refused:
        return _page(request, {"closed": Closed("This is no longer to be answered", str(refused))}, status=409)
    audit_request(
        request=request, action="tasks.completed", target=answered.task, team=row.task.team, by=worker.label, via="link"
    )
    return _page(request, {"thanks": outcome_words(answered.outcome), "row": answered})


def _row(link: TaskLink | None) -> HumanTask | None:
    if link is None:
        return None
    rows = HumanTask.objects.select_related("task__team", "task__assignee", "completed_by", "run__pipeline")
    return rows.filter(pk=link.human_id).first()


def _closed(link: TaskLink | None, row: HumanTask | None) -> Closed | None:
    if link is None or row is None:
        return Closed("This link does not work", "It may have been cut when it was copied: open it from the mail.")
    if row.task.assignee_id != link.user_id:
        return Closed("Somebody else has this now", "The task was handed over, so this link does not work any more.")
    if not row.is_open:
        return Closed("This is no longer to be answered", closed_words(row))
    if link.until <= engine_now():
        return Closed("This link is too old", "Sign in to answer: the task is still on your list.")
    member = Member.objects.filter(team=row.task.team, user_id=link.user_id, user__is_active=True).first()
    if member is None or member.role not in WORKERS:
        return Closed("This link does not work any more", "You are not in the team that asks, or may only look.")
    return None


def _context(row: HumanTask, values: Mapping[str, Any], errors: Mapping[str, str]) -> dict[str, Any]:
    team = row.task.team
    zone = ZoneInfo(team.timezone)
    form = form_of(row)
    return {
        "row": row,
        "task": row.task,
        "about": str(row.task.subject or "") if row.task.subject_id else "",
        "questions": questions(
            form.fields, values=values, errors=errors, people=people_of(team), zone=zone, prefix=PREFIX
        ),
        "outcomes": [(name, outcome_words(name)) for name in form.outcomes],
        "outcome_error": errors.get("outcome", ""),
        "has_errors": bool(errors),
        "zone": team_zone(team),
        "due": row.task.due_at.astimezone(zone) if row.task.due_at else None,
        "is_late": bool(row.task.due_at and row.task.due_at < engine_now()),
        "until": row.expires_at,
        "clock": zone,
    }


def _page(request: HttpRequest, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    # The page tells times by the clock it names, whoever is signed in beside it.
    with timezone.override(context.get("clock")):
        answer = render(request, "pipelines/answer.html", context, status=status)
    answer["Cache-Control"] = "no-store"
    answer["Referrer-Policy"] = "no-referrer"
    return answer
