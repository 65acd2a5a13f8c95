"""What the sidebar of the admin shows, and to whom."""

from collections.abc import Callable
from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from crm.mailbox import mail_is_captured
from crm.permissions import RESOURCES, allows

INBOX, FILES = "inbox", "files"

# Group, then model, title, icon and what narrows the list.
GROUPS: Final = (
    (
        "People",
        (
            ("contacts.contact", "Contacts", "person", ""),
            ("contacts.company", "Companies", "domain", ""),
            ("contacts.deal", "Deals", "handshake", ""),
            ("contacts.activity", "Activities", "history_edu", ""),
            ("contacts.tag", "Tags", "sell", ""),
            ("contacts.segment", "Segments", "workspaces", ""),
            ("contacts.contactimport", "Imports", "upload_file", ""),
            ("contacts.record", "Records", "database", ""),
            ("contacts.fielddefinition", "Fields", "list_alt", ""),
            ("contacts.recordtype", "Types of records", "schema", ""),
        ),
    ),
    (
        "Automation",
        (
            ("pipelines.pipeline", "Pipelines", "conversion_path", ""),
            ("pipelines.automaticpipeline", "Automatic for", "bolt", ""),
            ("pipelines.eventtype", "Event types", "sensors", ""),
            ("pipelines.hook", "Incoming webhooks", "webhook", ""),
            ("pipelines.webhook", "Outgoing webhooks", "outbound", ""),
            ("pipelines.pipelinerun", "Runs", "directions_run", ""),
            ("pipelines.enrollmentdecision", "Who did not enter", "block", ""),
        ),
    ),
    (
        "Work",
        (
            ("crm.task", "My tasks", "task_alt", INBOX),
            ("crm.message", "Messages", "mail", ""),
            ("crm.messagetemplate", "Templates", "description", ""),
            ("crm.messagetemplate", "Files", "attach_file", FILES),
            ("crm.topic", "Topics", "topic", ""),
            ("crm.consententry", "Consents", "how_to_reg", ""),
            ("crm.suppression", "Suppressions", "unsubscribe", ""),
            ("crm.optin", "Opt-ins", "sms", ""),
        ),
    ),
    (
        "Team",
        (
            ("crm.team", "Settings", "settings", ""),
            ("pipelines.sendingrules", "Sending rules", "schedule_send", ""),
            ("crm.integration", "Channels", "cell_tower", ""),
            ("crm.secret", "Secrets", "encrypted", ""),
            ("crm.device", "Devices", "devices", ""),
            ("crm.member", "Members", "group", ""),
            ("crm.apikey", "API keys", "key", ""),
            ("crm.auditentry", "Audit log", "policy", ""),
        ),
    ),
)


def team_name(request: HttpRequest) -> str:
    """The name of the team one works in, below the title of the site."""
    team = getattr(request, "team", None)
    return team.name if team else "Pipelines that run themselves"


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups of links to the pages the person may see."""
    start = reverse("admin:index")
    overview = [{"title": "Dashboard", "icon": "home", "link": start, "active": request.path == start}]
    if mail_is_captured():
        overview.append(_shown(request, "Captured mail", "drafts", reverse("captured-mail")))
    groups: list[dict[str, Any]] = [{"title": "Overview", "items": overview}]
    registered = {model._meta.label_lower for model in admin.site._registry}
    for title, entries in GROUPS:
        items = [_item(request, *entry) for entry in entries if entry[0] in registered and _may_view(entry[0])(request)]
        if items:
            groups.append({"title": title, "separator": True, "collapsible": False, "items": items})
    return groups


def _item(request: HttpRequest, label: str, title: str, icon: str, query: str) -> dict[str, Any]:
    if query in (INBOX, FILES):
        return _shown(request, title, icon, reverse(query))
    link = reverse(f"admin:{label.replace('.', '_')}_changelist")
    return _shown(request, title, icon, f"{link}{query}")


def _shown(request: HttpRequest, title: str, icon: str, link: str) -> dict[str, Any]:
    """A link that is lit on its page and on those below; left to the skin, each would be compared with the start."""
    return {"title": title, "icon": icon, "link": link, "active": link.partition("?")[0] in request.path}


def _may_view(label: str) -> Callable[[HttpRequest], bool]:
    def may(request: HttpRequest) -> bool:
        user: Any = request.user
        member = getattr(request, "member", None)
        role = member.role if member else None
        return bool(user.is_superuser or allows(role=role, resource=RESOURCES[label], verb="view"))

    return may
