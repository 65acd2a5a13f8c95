"""What stands below the form of a record: panels, tasks, messages, and the timeline with room for a note."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware

from contacts import operations
from contacts.admin.own_lists import OwnFieldsList
from contacts.models import Activity
from contacts.panels import panels_for
from contacts.queries import timeline
from crm.models import Message, Task
from crm.permissions import allows

SHOWN = 8
TIMELINE = 20
LONGEST_NOTE = 10_000
KINDS = ((Activity.Kind.NOTE, "Note"), (Activity.Kind.CALL, "Call"), (Activity.Kind.MEETING, "Meeting"))


class Line(NamedTuple):
    """One linked line of a card; `detail` stands at its end."""

    text: str
    url: str
    detail: str


class Card(NamedTuple):
    """A titled list of records that belong to the one shown; `more` are those that found no room."""

    title: str
    lines: Sequence[Line]
    empty: str
    more: int = 0
    url: str = ""


class RecordPage(OwnFieldsList):
    """Mixed into pages of records with a history, before the base of the page."""

    change_form_template = "admin/contacts/record_form.html"
    admin_site: Any
    opts: Any

    class Media:
        css = {"all": ("contacts/contacts.css",)}

    def cards(self, request: HttpRequest, record: Any) -> list[Card]:
        """More cards for this kind of record."""
        return []

    def get_urls(self) -> Any:
        name = f"{self.opts.app_label}_{self.opts.model_name}_note"
        note = path("<int:pk>/note/", self.admin_site.admin_view(self.add_note), name=name)
        return [note, *super().get_urls()]  # type: ignore[misc]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        record = kwargs.get("obj")
        if record is not None:
            context |= self._page(request, record)
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)  # type: ignore[misc]
        return answer

    def _page(self, request: HttpRequest, record: Any) -> dict[str, Any]:
        """A fixed number of statements, however much happened."""
        entries = timeline(subject=record, before=_before(request), limit=TIMELINE)
        return {
            "record": record,
            "panels": [(each.title, each.render(request)) for each in panels_for(request=request, record=record)],
            "cards": [*self.cards(request, record), _tasks(record), _messages(record)],
            "entries": entries,
            "older": entries[-1].at.isoformat() if len(entries) == TIMELINE else "",
            "note_kinds": KINDS,
            "note_url": self._url("note", record) if self._may_note(request, record) else "",
        }

    def _url(self, what: str, *args: Any) -> str:
        keys = [arg.pk if isinstance(arg, Model) else arg for arg in args]
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{what}", args=keys)

    def _may_note(self, request: HttpRequest, record: Any) -> bool:
        user: Any = request.user
        member = getattr(request, "member", None)
        adds = user.is_superuser or (member and allows(role=member.role, resource="activities", verb="add"))
        page: Any = self
        return bool(adds and page.has_view_permission(request, record))

    def add_note(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A note, call or meeting typed below the record."""
        page: Any = self
        record = page.get_object(request, str(pk))
        if record is None:
            return HttpResponseRedirect(self._url("changelist"))
        if request.method == "POST" and self._may_note(request, record):
            self._write_note(request, record)
        return HttpResponseRedirect(f"{self._url('change', record)}#timeline")

    def _write_note(self, request: HttpRequest, record: Any) -> None:
        kind = request.POST.get("kind", "")
        user: Any = request.user
        try:
            operations.add_note(
                subject=record,
                team=record.team,
                text=request.POST.get("text", "")[:LONGEST_NOTE].replace("\x00", ""),
                by=user,
                kind=kind if kind in dict(KINDS) else Activity.Kind.NOTE,
                at=timezone.now(),
            )
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            messages.success(request, "Written into the timeline.")


def _tasks(record: Model) -> Card:
    rows = Task.objects.about(record).filter(status=Task.Status.OPEN)
    found = list(rows.select_related("assignee").order_by("due_at", "pk")[:SHOWN])
    return Card(
        "Open tasks",
        [Line(row.title, reverse("admin:crm_task_change", args=[row.pk]), _task_detail(row)) for row in found],
        "Nothing to do.",
    )


def _task_detail(task: Task) -> str:
    due = f"due {day(task.due_at)}" if task.due_at else ""
    return " · ".join(filter(None, [due, str(task.assignee or "")]))


def _messages(record: Model) -> Card:
    rows = Message.objects.about(record)
    # Bodies can be large and are not shown here.
    found = rows.defer("text", "html", "attachments", "headers").order_by("-pk")[:SHOWN]
    return Card(
        "Messages",
        [
            Line(
                row.subject or "(no subject)",
                reverse("admin:crm_message_change", args=[row.pk]),
                f"{row.get_state_display()} · {day(row.sent_at or row.created_at)}",
            )
            for row in found
        ],
        "Nothing was sent yet.",
    )


def day(moment: datetime) -> str:
    """A day as the timeline writes it."""
    local = timezone.localtime(moment)
    return f"{local.day} {local:%b %Y}"


def _before(request: HttpRequest) -> datetime | None:
    try:
        moment = parse_datetime(request.GET.get("before", ""))
    except ValueError:
        return None
    return moment if moment is not None and is_aware(moment) else None
