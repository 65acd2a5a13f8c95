"""What stands below the form of a contact: panels, deals, tasks, messages and the timeline."""

from datetime import datetime
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime

from contacts.models import Activity, Contact, Deal
from contacts.panels import panels_for
from contacts.queries import timeline
from crm.models import Message, Task
from crm.permissions import allows

SHOWN = 8
TIMELINE = 20
KINDS = ((Activity.Kind.NOTE, "Note"), (Activity.Kind.CALL, "Call"), (Activity.Kind.MEETING, "Meeting"))


def page_context(request: HttpRequest, contact: Contact) -> dict[str, Any]:
    """A fixed number of statements, however much happened."""
    kind = ContentType.objects.get_for_model(Contact)
    entries = timeline(subject=contact, before=_before(request), limit=TIMELINE)
    tasks = Task.objects.filter(subject_type=kind, subject_id=contact.pk, status=Task.Status.OPEN)
    messages = Message.objects.filter(about_type=kind, about_id=contact.pk)
    return {
        "contact": contact,
        "panels": [(each.title, each.render(request)) for each in panels_for(request=request, contact=contact)],
        "deals": list(Deal.objects.filter(contact=contact).order_by("-pk")[:SHOWN]),
        "tasks": list(tasks.select_related("assignee").order_by("due_at", "pk")[:SHOWN]),
        "sent": list(messages.order_by("-pk")[:SHOWN]),
        "entries": entries,
        "older": entries[-1].at.isoformat() if len(entries) == TIMELINE else "",
        "note_kinds": KINDS,
        "may_write": _may_write(request),
    }


def _before(request: HttpRequest) -> datetime | None:
    try:
        return parse_datetime(request.GET.get("before", ""))
    except ValueError:
        return None


def _may_write(request: HttpRequest) -> bool:
    user: Any = request.user
    member = getattr(request, "member", None)
    return bool(user.is_superuser or (member and allows(role=member.role, resource="contacts", verb="change")))
