"""Tasks: what is mine, what is due, and done with a click."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from unfold.decorators import display

from crm.auditing import audit_request
from crm.models import Task
from crm.scoping import TeamScopedAdmin
from crm.tasks import complete_task, follow_status, is_overdue, overdue
from crm.work import TaskForm, TaskRefused, finish_task, form_slot, worker_of_member


class MineFilter(admin.SimpleListFilter):
    """My tasks, or those nobody has taken."""

    title = "assigned to"
    parameter_name = "mine"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("me", "Me"), ("nobody", "Nobody")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        match self.value():
            case "me":
                return queryset.filter(assignee_id=request.user.pk)
            case "nobody":
                return queryset.filter(assignee__isnull=True)
        return queryset


class DueFilter(admin.SimpleListFilter):
    """Open tasks by when they are due."""

    title = "due"
    parameter_name = "due"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("overdue", "Overdue"), ("day", "Within a day"), ("week", "Within a week"), ("never", "No date")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        now = timezone.now()
        still_open = queryset.filter(status=Task.Status.OPEN)
        match self.value():
            case "overdue":
                return overdue(queryset, now)
            case "day":
                return still_open.filter(due_at__lt=now + timedelta(days=1))
            case "week":
                return still_open.filter(due_at__lt=now + timedelta(days=7))
            case "never":
                return still_open.filter(due_at__isnull=True)
        return queryset


@admin.register(Task)
class TaskAdmin(TeamScopedAdmin[Task]):
    """The to-do list of the team."""

    nothing = "Tasks are made by steps of pipelines and by people."
    list_display = ["title", "due", "priority_label", "status_label", "assignee"]
    list_filter = [MineFilter, DueFilter, "status", "priority", "assignee"]
    search_fields = ["title", "description"]
    ordering = ["-id"]
    list_select_related = ["assignee"]
    actions = ["complete"]
    change_form_before_template = "admin/crm/task_form.html"
    fieldsets = [
        (None, {"fields": ["title", "description", "assignee", "due_at", "priority", "status"]}),
        ("About", {"fields": ["subject_type", "subject_id"], "classes": ["collapse"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who has a task with a form, and how it ends, is decided where the form is."""
        fields = super().get_readonly_fields(request, obj)
        form = form_slot.form(obj) if obj is not None else None
        return (*fields, "assignee", "status") if form is not None else fields

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        task = kwargs.get("obj")
        context["task_form"] = form_slot.form(task) if task is not None else None
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    def save_model(self, request: HttpRequest, obj: Task, form: Any, change: bool) -> None:
        if not change:
            obj.created_by_id = request.user.pk
        follow_status(task=obj, now=timezone.now())
        super().save_model(request, obj, form, change)

    @admin.action(description="Complete selected tasks", permissions=["change"])
    def complete(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        chosen = list(queryset)
        forms = form_slot.forms(chosen)
        done = [task for task in chosen if task.pk not in forms and complete_task(task=task, now=timezone.now())]
        done += [task for task in chosen if _is_only_to_be_done(forms.get(task.pk)) and _finished(task, request)]
        for task in done:
            audit_request(request=request, action="tasks.completed", target=task, team=task.team)
        if done:
            messages.success(request, f"{len(done)} task{'' if len(done) == 1 else 's'} completed.")
        for task in chosen:
            form = forms.get(task.pk)
            if form is not None and form.address and form.asks:
                link = format_html('<a href="{}">Answer it</a>', form.address)
                messages.warning(request, format_html("“{}” has a form, so it was left open. {}", task.title, link))

    @display(description="Due", ordering="due_at")
    def due(self, task: Task) -> str:
        if task.due_at is None:
            return "—"
        day = date_format(timezone.localtime(task.due_at), "DATETIME_FORMAT")
        return f"{day} · overdue" if is_overdue(task=task, now=timezone.now()) else day

    @display(
        description="Priority", ordering="priority", label={"Urgent": "danger", "High": "warning", "Medium": "info"}
    )
    def priority_label(self, task: Task) -> str:
        return task.get_priority_display()

    @display(description="Status", ordering="status", label={"Open": "info", "Done": "success"})
    def status_label(self, task: Task) -> str:
        return task.get_status_display()


def _is_only_to_be_done(form: TaskForm | None) -> bool:
    return form is not None and bool(form.address) and not form.asks


def _finished(task: Task, request: HttpRequest) -> bool:
    """Done for a run that waits for it, which goes on; False, and said why, where it is not theirs to do."""
    worker = worker_of_member(user=request.user, team=task.team)
    try:
        finish_task(task=task, worker=worker, now=timezone.now())
    except TaskRefused as refused:
        messages.warning(request, f"“{task.title}”: {refused}")
        return False
    return True
