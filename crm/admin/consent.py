"""Topics people choose from, and the history of their choices."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from unfold.decorators import action, display

from crm.auditing import audit_request
from crm.models import ConsentEntry, Topic
from crm.permissions import allows
from crm.scoping import TeamScopedAdmin, TeamScopedReadOnlyAdmin
from crm.tables import csv_rows

COLORS = {"Subscribed": "success", "Confirmed": "success", "Unsubscribed": "danger"}
COLUMNS = ("address", "topic", "kind", "at", "how", "who", "wording")


@admin.register(Topic)
class TopicAdmin(TeamScopedAdmin[Topic]):
    """What readers may choose on the page that every mail links to."""

    nothing = "Readers choose topics, such as News or Tips, on the page that every mail links to."
    list_display = ("name", "key", "usual", "shown", "confirm")
    search_fields = ("name", "key")
    ordering = ("name", "id")
    fieldsets = (
        (None, {"fields": ("name", "key", "description", ("default_on", "shown"))}),
        ("Double opt-in", {"fields": ("confirm", "confirm_subject", "confirm_text")}),
    )

    @display(description="By default", label={"On": "success", "Off": "default"})
    def usual(self, topic: Topic) -> str:
        return "On" if topic.default_on and not topic.confirm else "Off"

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {"key": ["name"]} if obj is None and self.has_add_permission(request) else {}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Messages, subscriptions and history name the key, so it stays."""
        fixed = super().get_readonly_fields(request, obj)
        return (*fixed, "key") if obj is not None else fixed


@admin.register(ConsentEntry)
class ConsentEntryAdmin(TeamScopedReadOnlyAdmin[ConsentEntry]):
    """Who agreed to what, when and how; nobody can change it."""

    nothing = "Every choice of a reader is written down here: subscribed, confirmed, unsubscribed, when and how."
    list_display = ("address", "topic_words", "kind_label", "at", "how", "who")
    list_filter = ("kind", "at")
    search_fields = ("address", "topic")
    search_help_text = "Address or topic"
    ordering = ("-id",)
    fields = COLUMNS
    actions_list = ("export_all",)

    @display(description="Topic", ordering="topic")
    def topic_words(self, entry: ConsentEntry) -> str:
        return entry.topic or "everything"

    @display(
        description="What",
        ordering="kind",
        label=COLORS,
    )
    def kind_label(self, entry: ConsentEntry) -> str:
        return entry.get_kind_display()

    def has_export_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        member = getattr(request, "member", None)
        role = member.role if member else None
        return bool(user.is_superuser or allows(role=role, resource="consents", verb="export"))

    @action(description="Export as CSV", icon="download", permissions=["export"], url_path="export")
    def export_all(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """Everything the list shows under the search that was made."""
        if not self.has_export_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).order_by("pk")
        address = request.GET.get("q", "").strip().lower()
        rows = rows.filter(address=address) if address else rows
        audit_request(request=request, action="consents.export", team=getattr(request, "team", None))
        return csv_rows("consents", COLUMNS, rows.values_list(*COLUMNS))
