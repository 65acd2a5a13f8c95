"""Messages as they were sent, and the decision on those whose fate is unknown."""

from typing import Any

import nh3
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.template.defaultfilters import linebreaksbr
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import Truncator
from unfold.decorators import display

from crm.auditing import audit_request
from crm.messages import Decision, decide_message
from crm.models import Message, MessageEvent
from crm.scoping import TeamScopedReadOnlyAdmin, TeamScopedTabularInline

LABELS = {
    "Sent": "success",
    "Failed": "danger",
    "Uncertain": "warning",
    "Queued": "info",
    "Sending": "info",
    "Captured by a test": "primary",
}
TOLD_BY_SERVERS = frozenset(
    {
        MessageEvent.Kind.SENT,
        MessageEvent.Kind.DELIVERED,
        MessageEvent.Kind.FAILED,
        MessageEvent.Kind.UNDELIVERED,
        MessageEvent.Kind.BOUNCED,
        MessageEvent.Kind.COMPLAINED,
    }
)
# Mail is written for white paper, also where the page around it is dark.
PAPER = (
    '<!doctype html><meta charset="utf-8"><style>html{background:#fff;color:#111;color-scheme:light}'
    "body{font:15px/1.5 system-ui,sans-serif}</style>"
)
# Mail is written by strangers and authors alike: nothing in it runs, loads or navigates.
PREVIEW_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; object-src 'none';"
    " form-action 'none'; frame-ancestors 'self'; sandbox"
)


class NeedsDecision(admin.SimpleListFilter):
    """Uncertain messages that nobody has settled."""

    title = "decision"
    parameter_name = "decision"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("needed", "Needs a decision")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "needed":
            return queryset.filter(state=Message.State.UNCERTAIN, decided_at__isnull=True)
        return queryset


class MessageEventInline(TeamScopedTabularInline):
    """Opens and clicks, with what speaks against a person."""

    model = MessageEvent
    read_only = True
    verbose_name_plural = "What became of it"
    hide_title = True
    fields = ["kind", "judged", "link", "count", "last_at"]
    readonly_fields = ["judged", "link"]
    ordering = ["id"]

    @display(description="By")
    def judged(self, event: MessageEvent) -> str:
        if event.kind in TOLD_BY_SERVERS:
            return event.reason or "the receiving side"
        return "a person" if event.likely_human else f"a program? ({event.reason})"

    @display(description="Link or words")
    def link(self, event: MessageEvent) -> str:
        return Truncator(event.url).chars(60) or Truncator(event.text).chars(400) or "–"


@admin.register(Message)
class MessageAdmin(TeamScopedReadOnlyAdmin[Message]):
    """Read-only; an uncertain message is accepted as sent, or sent again, by a person."""

    nothing = "What pipelines send is listed here, with what became of it."
    list_display = ["subject_line", "recipient", "state_label", "reason", "created_at", "sent_at"]
    list_filter = ["channel", "state", NeedsDecision, "created_at"]
    search_fields = ["recipient", "subject"]
    ordering = ["-id"]
    actions = ["accept_uncertain", "resend_uncertain"]
    fieldsets = [
        (None, {"fields": ["subject", "state", "reason", "recipient", "sender", "reply_to"]}),
        ("Body", {"fields": ["preview", "words"]}),
        ("Delivery", {"fields": ["channel", "topic", "created_at", "sent_at", "attempts", "error", "decided_at"]}),
        ("Kept", {"fields": ["held_until", "held_by"], "description": "When it may leave, and the rule that says so."}),
        ("Origin", {"fields": ["message_id", "run_id", "step_id", "about_type", "about_id"], "classes": ["collapse"]}),
    ]
    readonly_fields = ["preview", "words"]
    inlines = [MessageEventInline]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.preview_view)
        return [path("<int:pk>/preview/", view, name="crm_message_preview"), *super().get_urls()]

    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The cleaned HTML body on a page of its own, under a policy that lets nothing run."""
        message = self.get_object(request, str(pk))
        if message is None or not self.has_view_permission(request, message):
            raise Http404
        response = HttpResponse(PAPER + nh3.clean(message.html, attributes=_attributes()))
        response["Content-Security-Policy"] = PREVIEW_POLICY
        response["X-Frame-Options"] = "SAMEORIGIN"
        return response

    @display(description="Preview")
    def preview(self, message: Message) -> str:
        if not message.html:
            return "This message has no HTML part."
        address = reverse("admin:crm_message_preview", args=[message.pk])
        return format_html('<iframe sandbox title="Message" src="{}" width="100%" height="480"></iframe>', address)

    @display(description="Text")
    def words(self, message: Message) -> str:
        return linebreaksbr(message.text)

    @display(description="Subject", ordering="subject")
    def subject_line(self, message: Message) -> str:
        return message.subject or "(no subject)"

    @display(description="State", ordering="state", label=LABELS)
    def state_label(self, message: Message) -> str:
        return message.get_state_display()

    @admin.action(description="Accept uncertain messages as sent", permissions=["decide"])
    def accept_uncertain(self, request: HttpRequest, queryset: Any) -> None:
        self._decide(request, queryset, "accept")

    @admin.action(description="Send uncertain messages again", permissions=["decide"])
    def resend_uncertain(self, request: HttpRequest, queryset: Any) -> None:
        self._decide(request, queryset, "resend")

    def _decide(self, request: HttpRequest, queryset: Any, decision: Decision) -> None:
        count = 0
        for message in queryset.filter(state=Message.State.UNCERTAIN, decided_at__isnull=True):
            if decide_message(message=message, decision=decision, user=request.user, now=timezone.now()):
                audit_request(request=request, action=f"messages.{decision}", target=message, team=message.team)
                count += 1
        messages.success(request, f"{count} uncertain {'message' if count == 1 else 'messages'} settled.")


def _attributes() -> dict[str, set[str]]:
    allowed = {tag: set(names) for tag, names in nh3.ALLOWED_ATTRIBUTES.items()}
    for tag in ("p", "div", "span", "table", "td", "tr", "th", "a", "img"):
        allowed.setdefault(tag, set()).add("style")
    return allowed
