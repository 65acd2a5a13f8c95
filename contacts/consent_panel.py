"""How a contact may be reached, on its page: each channel with its reason, its devices, and what was chosen when."""

from typing import Any, Final
from urllib.parse import urlencode

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse

from contacts.models import Contact
from contacts.panels import Panel
from crm.consent import choices
from crm.models import ConsentEntry, Device, Topic
from crm.permissions import allows
from crm.reach import Person, reach_of

SHOWN: Final = 10


def consent_panel(request: HttpRequest, record: Model, /) -> Panel | None:
    """For those who may see consents; a fixed number of statements."""
    if not isinstance(record, Contact) or not _may_view(request):
        return None
    address = record.email.strip().lower()
    kind = ContentType.objects.get_for_model(Contact)
    devices = list(Device.objects.filter(about_type=kind, about_id=record.pk, team=record.team_id).order_by("-seen_at"))
    reach = reach_of(Person(record.team_id, record.email, record.phone, devices))
    names = dict(Topic.objects.filter(team=record.team_id).order_by("name").values_list("key", "name"))
    states = choices(team_id=record.team_id, address=address).states if address else {}
    entries: list[ConsentEntry] = []
    if address:
        entries = list(ConsentEntry.objects.filter(team=record.team_id, address=address).order_by("-pk")[:SHOWN])
    query = urlencode({"q": address})
    context = {
        "ways": reach.ways,
        "suppressions": [(row, names.get(row.topic, row.topic) or "everything") for row in reach.suppressions],
        "devices": [(row, row.token in reach.refused_devices) for row in devices],
        "topics": [(name, states[key]) for key, name in names.items() if key in states],
        "lines": [(entry, names.get(entry.topic, entry.topic) or "everything") for entry in entries],
        "all": f"{reverse('admin:crm_consententry_changelist')}?{query}",
        "export": f"{reverse('admin:crm_consententry_export_all')}?{query}",
    }
    return Panel(title="Reach and consent", template="admin/contacts/consent_panel.html", context=context)


def _may_view(request: HttpRequest) -> bool:
    user: Any = request.user
    member = getattr(request, "member", None)
    return bool(user.is_superuser or (member and allows(role=member.role, resource="consents", verb="view")))
