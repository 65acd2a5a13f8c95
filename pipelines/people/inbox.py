"""My tasks: what waits for me, what I may take, and all that is open, each answered where it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Lower
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from crm.auditing import audit_request
from crm.models import Member, Task, Team
from crm.permissions import LEADERS, WORKERS, allows
from crm.work import (
    AnswersRefused,
    TaskRefused,
    Worker,
    claim_task,
    finish_task,
    form_slot,
    reassign_task,
    worker_of_member,
)
from pipelines.admin.links import address_of, clock_time, from_now
from pipelines.engine.clock import engine_now
from pipelines.people.questions import Question, questions, read_answers
from pipelines.people.words import outcome_words, people_of

PER_PAGE: Final = 25
SHOWS: Final = (("mine", "Mine"), ("free", "To take"), ("all", "All open"))


@dataclass(slots=True)
class Line:
    """One task as the page shows it."""

    task: Task
    about: str
    about_address: str
    when: str
    exactly: str
    tone: str
    group: str
    who: str
    is_mine: bool
    questions: Sequence[Question] | None
    outcomes: Sequence[tuple[str, str]]
    expires: str
    is_open: bool
    errors: Mapping[str, str] = field(default_factory=dict)


@require_safe
def inbox(request: HttpRequest) -> HttpResponse:
    """The list, one of its three parts; `task` opens one of them."""
    team, worker = _who(request)
    return _page(request, team, worker)


@require_POST
def work(request: HttpRequest, pk: int, deed: str) -> HttpResponse:
    """Finish, take or hand over a task; a form with problems comes back with what was typed."""
    team, worker = _who(request)
    task = Task.objects.for_team(team).select_related("team").filter(pk=pk).first()
    if task is None or deed not in DEEDS:
        raise Http404
    if worker.role not in WORKERS:
        raise PermissionDenied
    if team is None:
        worker = worker_of_member(user=request.user, team=task.team)
    form = form_slot.form(task)
    values = read_answers(form.fields, request.POST, prefix=_prefix(task)) if form else {}
    try:
        said = DEEDS[deed](request, task, worker, values)
    except AnswersRefused as refused:
        return _page(request, team, worker, open_task=task, typed=values, errors=refused.errors)
    except TaskRefused as refused:
        messages.error(request, str(refused))
    else:
        audit_request(request=request, action=f"tasks.{deed}", target=task, team=task.team)
        messages.success(request, said)
    return HttpResponseRedirect(f"{reverse('inbox')}?show={_shown(request.POST)}")


def _complete(request: HttpRequest, task: Task, worker: Worker, values: Mapping[str, Any]) -> str:
    outcome = request.POST.get("outcome", "")[:40]
    finish_task(task=task, worker=worker, outcome=outcome, values=values, now=timezone.now())
    return f"“{task.title}” is done."


def _claim(request: HttpRequest, task: Task, worker: Worker, values: Mapping[str, Any]) -> str:
    claim_task(task=task, worker=worker, now=timezone.now())
    return f"“{task.title}” is yours now."


def _reassign(request: HttpRequest, task: Task, worker: Worker, values: Mapping[str, Any]) -> str:
    wanted = request.POST.get("assignee", "")
    user_id = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 18 else None
    reassign_task(task=task, worker=worker, user_id=user_id, now=timezone.now())
    return f"“{task.title}” was handed over." if user_id else f"“{task.title}” is nobody's now."


DEEDS: Final = {"complete": _complete, "claim": _claim, "reassign": _reassign}


def _who(request: HttpRequest) -> tuple[Team | None, Worker]:
    team: Team | None = getattr(request, "team", None)
    worker = worker_of_member(user=request.user, team=team)
    if not allows(role=worker.role, resource="tasks", verb="view"):
        raise PermissionDenied
    return team, worker


def _page(
    request: HttpRequest,
    team: Team | None,
    worker: Worker,
    *,
    open_task: Task | None = None,
    typed: Mapping[str, Any] | None = None,
    errors: Mapping[str, str] | None = None,
) -> HttpResponse:
    given = request.POST if request.method == "POST" else request.GET
    opened = open_task or _asked_for(team, given.get("task", ""))
    show = _shown(given) if given.get("show") or opened is None else _place_of(opened, worker)
    open_tasks = Task.objects.for_team(team).filter(status=Task.Status.OPEN)
    parts = {code: _part(open_tasks, code, team, worker) for code, _ in SHOWS}
    page = Paginator(_ordered(parts[show]), PER_PAGE).get_page(given.get("page"))
    tasks = list(page.object_list)
    if opened is not None and opened.pk not in {task.pk for task in tasks}:
        tasks.insert(0, opened)
    context = {
        **admin.site.each_context(request),
        "title": "My tasks",
        "show": show,
        "tabs": [(code, label, parts[code].count()) for code, label in SHOWS],
        "lines": _lines(tasks, worker, opened, typed, errors or {}),
        "opened": opened.pk if opened else None,
        "page": page,
        "people": people_of(team) if team else [],
        "may_work": worker.role in WORKERS,
        "may_hand_over": worker.role in LEADERS,
    }
    return render(request, "admin/pipelines/inbox.html", context, status=422 if errors else 200)


def _shown(given: Any) -> str:
    show = given.get("show", "")
    return show if show in dict(SHOWS) else "mine"


def _asked_for(team: Team | None, pk: str) -> Task | None:
    if not pk.isascii() or not pk.isdigit() or len(pk) > 17:
        return None
    return Task.objects.for_team(team).select_related("assignee", "team").filter(pk=int(pk)).first()


def _place_of(task: Task, worker: Worker) -> str:
    if worker.user is not None and task.assignee_id == worker.user.pk:
        return "mine"
    return "free" if task.assignee_id is None else "all"


def _part(tasks: QuerySet[Task], show: str, team: Team | None, worker: Worker) -> QuerySet[Task]:
    if show == "mine":
        return tasks.filter(assignee=worker.user)
    if show == "all":
        return tasks
    return _takeable(tasks.filter(assignee=None), team, worker)


def _takeable(free: QuerySet[Task], team: Team | None, worker: Worker) -> QuerySet[Task]:
    """For one's group, for nobody in particular, or for a group in which nobody works."""
    if worker.role in LEADERS:
        return free
    rows = Member.objects.filter(team=team, user__is_active=True).values_list("role", "groups")
    peopled = {word for role, groups in rows for word in (role, *(str(name).lower() for name in groups))}
    group = free.annotate(group=Lower("human__team_role"))
    return group.filter(Q(human=None) | Q(group="") | Q(group__in=worker.words) | ~Q(group__in=peopled))


def _ordered(tasks: QuerySet[Task]) -> QuerySet[Task]:
    rows = tasks.select_related("assignee", "team").prefetch_related("subject")
    return rows.order_by(F("due_at").asc(nulls_last=True), "pk")


def _lines(
    tasks: Sequence[Task],
    worker: Worker,
    opened: Task | None,
    typed: Mapping[str, Any] | None,
    errors: Mapping[str, str],
) -> list[Line]:
    forms = form_slot.forms(tasks)
    asks_people = any(each["type"] == "user" for form in forms.values() for each in form.fields)
    people = people_of(tasks[0].team) if tasks and asks_people else []
    now = engine_now()
    lines = []
    for task in tasks:
        form = forms.get(task.pk)
        mine = opened is not None and task.pk == opened.pk
        wrong = errors if mine else {}
        values = typed if mine and typed is not None else (form.values if form else {})
        asked = None
        if form is not None:
            zone = ZoneInfo(task.team.timezone)
            asked = questions(form.fields, values=values, errors=wrong, people=people, zone=zone, prefix=_prefix(task))
        subject: Any = task.subject
        lines.append(
            Line(
                task=task,
                about=str(subject or ""),
                about_address=address_of(subject) if subject is not None else "",
                when=from_now(task.due_at, now) if task.due_at else "",
                exactly=clock_time(task.due_at) if task.due_at else "",
                tone=_tone(task.due_at, now),
                group=form.group if form else "",
                who=_name(task),
                is_mine=worker.user is not None and task.assignee_id == worker.user.pk,
                questions=asked,
                outcomes=[(name, outcome_words(name)) for name in (form.outcomes if form else ["completed"])],
                expires=clock_time(form.expires_at) if form and form.expires_at else "",
                is_open=task.status == Task.Status.OPEN,
                errors={name: text for name, text in wrong.items() if name in ("outcome", "assignee")},
            )
        )
    return lines


def _tone(due_at: datetime | None, now: datetime) -> str:
    if due_at is None:
        return ""
    return "late" if due_at < now else "soon" if due_at < now + timedelta(days=1) else "later"


def _name(task: Task) -> str:
    return task.assignee.get_full_name() or task.assignee.get_username() if task.assignee else ""


def _prefix(task: Task) -> str:
    return f"t{task.pk}-"
