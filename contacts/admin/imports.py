"""The imports of a team: the list of them, and the page, progress and refused rows of each."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import path
from unfold.decorators import action, display

from contacts.admin import importing
from contacts.imports.running import report_lines
from contacts.models import ContactImport
from crm.auditing import audit_request
from crm.scoping import TeamScopedReadOnlyAdmin

STATES = {
    "Waits for you": "warning", "Ready to start": "warning", "Being checked": "info", "Under way": "info",
    "Done": "success", "Failed": "danger",
}  # fmt: skip


@admin.register(ContactImport)
class ContactImportAdmin(TeamScopedReadOnlyAdmin[ContactImport]):
    """Files that were brought, newest first."""

    nothing = "Every file of contacts that is brought comes here, with what became of its rows."
    list_display = ("name", "condition", "rows", "made", "changed", "passed_over", "refused", "by", "created_at")
    list_filter = ("state", "source", "created_at")
    list_select_related = ("by",)
    ordering = ("-id",)
    actions_list = ("upload_page",)

    @display(description="State", ordering="state", label=STATES)
    def condition(self, row: ContactImport) -> str:
        return row.get_state_display()

    @display(description="Rows", ordering="row_count")
    def rows(self, row: ContactImport) -> str:
        return f"{row.row_count:,}"

    @display(description="Created")
    def made(self, row: ContactImport) -> str:
        return _number(row, "created")

    @display(description="Updated")
    def changed(self, row: ContactImport) -> str:
        return _number(row, "updated")

    @display(description="Skipped")
    def passed_over(self, row: ContactImport) -> str:
        return _number(row, "skipped")

    @display(description="Errors")
    def refused(self, row: ContactImport) -> str:
        return _number(row, "failed")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ContactImport]:
        rows: QuerySet[ContactImport] = super().get_queryset(request)
        return rows.select_related("team", "by")

    def get_urls(self) -> Any:
        own = [
            path(f"<int:pk>/{name}/", self.admin_site.admin_view(view), name=f"contacts_contactimport_{name}")
            for name, view in (("progress", self.progress_view), ("errors", self.errors_view))
        ]
        return [*own, *super().get_urls()]

    @action(description="Import a file", icon="upload", permissions=["run"], url_path="upload")
    def upload_page(self, request: HttpRequest) -> HttpResponse:
        return redirect("admin:contacts_contact_import_page")

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        row = self.get_object(request, object_id)
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return importing.import_view(request, row, model_admin=self)

    def progress_view(self, request: HttpRequest, pk: int) -> JsonResponse:
        """How far it is."""
        answer = JsonResponse(importing.progress_of(self._row(request, pk)))
        answer["Cache-Control"] = "no-store"
        return answer

    def errors_view(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        """The rows that were not taken, with the reasons."""
        row = self._row(request, pk)
        audit_request(request=request, action="contacts.import_errors", target=row, team=row.team)
        answer = StreamingHttpResponse(report_lines(row), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="not-imported.csv"'
        return answer

    def _row(self, request: HttpRequest, pk: int) -> ContactImport:
        row: ContactImport | None = self.get_object(request, str(pk))
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if row is None:
            raise Http404
        return row


def _number(row: ContactImport, name: str) -> str:
    return f"{row.counts[name]:,}" if name in row.counts else "-"
