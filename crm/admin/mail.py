"""Message templates and addresses that get no mail."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from unfold.decorators import action

from crm.admin import suppression_files
from crm.models import MessageTemplate, Suppression
from crm.scoping import TeamScopedAdmin


@admin.register(MessageTemplate)
class MessageTemplateAdmin(TeamScopedAdmin[MessageTemplate]):
    """Messages that steps refer to by key."""

    list_display = ["name", "key", "subject", "topic", "updated_at"]
    list_filter = ["updated_at"]
    search_fields = ["name", "key", "subject"]
    ordering = ["key"]
    fields = ["name", "key", "subject", "text", "html", "use_layout", "topic"]
    change_form_template = "admin/crm/message_template.html"
    prepopulated_fields = {"key": ["name"]}

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        may_write = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return super().get_prepopulated_fields(request, obj) if may_write and obj is None else {}


@admin.register(Suppression)
class SuppressionAdmin(TeamScopedAdmin[Suppression]):
    """Addresses nothing is sent to; entries are added and deleted, never edited."""

    list_display = ["address", "topic", "reason", "source", "created_at"]
    list_filter = ["reason", "created_at"]
    search_fields = ["address"]
    ordering = ["-id"]
    fields = ["address", "topic", "reason", "source"]
    actions_list = ["import_page", "export_all"]

    @action(description="Import", icon="upload", permissions=["add"], url_path="import")
    def import_page(self, request: HttpRequest) -> HttpResponse:
        return suppression_files.import_view(request, model_admin=self)

    @action(description="Export as CSV", icon="download", permissions=["view"], url_path="export")
    def export_all(self, request: HttpRequest) -> StreamingHttpResponse:
        return suppression_files.export_view(request, model_admin=self)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Suppression, form: Any, change: bool) -> None:
        obj.address = obj.address.strip().lower()
        super().save_model(request, obj, form, change)
