"""The page that tells everything a contact will receive, day by day, with the rule that holds or skips it."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from contacts.models import Contact
from pipelines.admin.links import address_of
from pipelines.admin.telling import clause, words
from pipelines.models import PipelineRun
from pipelines.simulation.calendar import DAYS, calendar_of

SPANS: Final = ((30, "30 days"), (DAYS, "90 days"), (366, "a year"))
VERDICTS: Final[Mapping[str, tuple[str, str]]] = {
    "sent": ("will be sent", "sent"),
    "held": ("held", "late"),
    "skipped": ("not sent", "skipped"),
    "failed": ("fails", "failed"),
    "depends": ("depends", "waiting"),
}
RULES: Final[Mapping[str, str]] = {
    "send_hours": "send hours",
    "frequency_cap": "frequency cap",
    "pace": "pace of the channel",
    "outage": "provider is away",
    "uncertain": "to decide",
    "suppression": "suppressed",
    "topic": "topic is off",
    "consent": "no consent",
    "no_address": "no address",
    "condition": "condition of the step",
    "exit": "leaves the pipeline",
    "too_late": "its time has passed",
}
ICONS: Final[Mapping[str, str]] = {
    "email": "mail", "sms": "sms", "whatsapp": "chat", "push": "notifications_active", "wait": "hourglass_empty",
    "exit": "logout",
}  # fmt: skip


@require_safe
def calendar_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One contact; `days` says how far to look."""
    site: Any = admin.site
    if not site.get_model_admin(PipelineRun).has_view_permission(request):
        raise PermissionDenied
    team = getattr(request, "team", None)
    contact = Contact.objects.for_team(team).select_related("team").filter(pk=pk).first()
    if contact is None:
        raise Http404
    asked = request.GET.get("days", "")
    days = next((days for days, _ in SPANS if str(days) == asked), DAYS)
    found = calendar_of(team=contact.team, contact=contact, days=days)
    context = {
        **site.each_context(request),
        "title": "What will come",
        "opts": contact._meta,
        "object": contact,
        "contact": contact,
        "contact_address": address_of(contact),
        "why_address": reverse("explain", args=[contact._meta.label_lower, contact.pk]),
        "spans": SPANS,
        "days": days,
        "until": found["until"],
        "complete": found["complete"],
        "warnings": found["warnings"],
        "runs": [_run(run) for run in found["runs"]],
        "groups": _by_day(found["items"]),
    }
    return render(request, "admin/pipelines/calendar.html", context)


def _by_day(items: Sequence[Mapping[str, Any]]) -> list[tuple[date, list[dict[str, Any]]]]:
    shown = [_item(item) for item in items]
    return [(day, list(group)) for day, group in groupby(shown, key=lambda item: timezone.localtime(item["at"]).date())]


def _item(item: Mapping[str, Any]) -> dict[str, Any]:
    said, tag = VERDICTS[item["verdict"]]
    kind = item["kind"]
    return {
        **item,
        "said": "waits" if kind == "wait" else said,
        "tag": tag,
        "rule_words": RULES.get(item["rule"], ""),
        "icon": ICONS.get(item["channel"] or kind, "mail"),
        "title": item["subject"] or item["step_name"] or item["pipeline_name"],
        "run_address": _address(item["run"]),
        "clauses": [clause(leaf) for leaf in item["why"]],
    }


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    paused = run["pipeline_status"] == "paused"
    return {
        **run,
        "status": "paused" if paused else run["status"],
        "pipeline_paused": paused,
        "reason_words": words(run["reason"]) if run["reason"] not in ("", "end") else "",
        "run_address": _address(run["run"]),
    }


def _address(run: int | None) -> str:
    return reverse("admin:pipelines_pipelinerun_change", args=[run]) if run else ""
