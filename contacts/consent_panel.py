"""What a contact chose to get, on its page: the state of each topic, and when, how and in which words it came about."""

from typing import Any, Final
from urllib.parse import urlencode

from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse

from contacts.models import Contact
from contacts.panels import Panel
from crm.consent import choices
from crm.models import ConsentEntry, Topic
from crm.permissions import allows

SHOWN: Final = 10


def consent_panel(request: HttpRequest, record: Model, /) -> Panel | None:
    """For those who may see consents; a fixed number of statements."""
    if not isinstance(record, Contact) or not record.email or not _may_view(request):
        return None
    address = record.email.strip().lower()
    now = choices(team_id=record.team_id, address=address)
    names = dict(Topic.objects.filter(team=record.team_id).order_by("name").values_list("key", "name"))
    entries = list(ConsentEntry.objects.filter(team=record.team_id, address=address).order_by("-pk")[:SHOWN])
    if not names and not entries and not now.stopped:
        return None
    lines = [(entry, names.get(entry.topic, entry.topic) or "everything") for entry in entries]
    query = urlencode({"q": address})
    context = {
        "topics": [(name, now.states.get(key, "off")) for key, name in names.items()],
        "stopped": now.stopped,
        "lines": lines,
        "all": f"{reverse('admin:crm_consententry_changelist')}?{query}",
        "export": f"{reverse('admin:crm_consententry_export_all')}?{query}",
    }
    return Panel(title="Consent", template="admin/contacts/consent_panel.html", context=context)


def _may_view(request: HttpRequest) -> bool:
    user: Any = request.user
    member = getattr(request, "member", None)
    return bool(user.is_superuser or (member and allows(role=member.role, resource="consents", verb="view")))
