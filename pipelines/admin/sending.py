"""Sending rules of a team: hours, holidays, caps and pace on one page."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import display

from crm.scoping import TeamScopedAdmin
from pipelines.admin.sending_form import SendingRulesForm
from pipelines.models import SendingRules


@admin.register(SendingRules)
class SendingRulesAdmin(TeamScopedAdmin[SendingRules]):
    """One row a team; whoever works in a team comes straight to its page."""

    form = SendingRulesForm
    show_add_link = False
    list_display = ("owner", "hours", "caps_shown", "updated_at")
    list_display_links = ("owner",)
    list_select_related = ("team",)
    ordering = ("team__name",)
    fieldsets = (
        (
            "Hours",
            {
                "fields": ("days", "hours", "quiet", ("zone", "fixed_zone"), "spread"),
                "description": "These hold for every message that one can unsubscribe from. "
                "A message that comes too early waits; its run says until when and why.",
            },
        ),
        ("Holidays", {"fields": ("keeps_holidays", "holiday_lines")}),
        ("Not too many", {"fields": ("cap_lines", "when_capped", "longest_wait_hours")}),
        (
            "Not too fast",
            {
                "fields": (("email", "sms"), ("push", "whatsapp"), "chat"),
                "description": "What the provider of each channel takes from this team, such as 10 per second: "
                "all workers together keep it, and the rest leaves later.",
            },
        ),
    )

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        team = getattr(request, "team", None)
        found = SendingRules.objects.filter(team=team).values_list("pk", flat=True).first() if team else None
        may = self.has_view_permission(request) if found else self.has_add_permission(request)
        if team is None or not may or request.GET:
            page: HttpResponse = super().changelist_view(request, extra_context)
            return page
        name, args = ("add", []) if found is None else ("change", [found])
        return HttpResponseRedirect(reverse(f"admin:pipelines_sendingrules_{name}", args=args))

    @display(description="Team", ordering="team__name")
    def owner(self, rules: SendingRules) -> str:
        return rules.team.name

    @display(description="Hours")
    def hours(self, rules: SendingRules) -> str:
        window = rules.window or {}
        said = [" ".join(window.get("days") or []), str(window.get("hours") or ""), str(window.get("quiet") or "")]
        return ", ".join(part for part in said if part) or "at any time"

    @display(description="To one person")
    def caps_shown(self, rules: SendingRules) -> str:
        return ", ".join(rules.caps) or "—"
