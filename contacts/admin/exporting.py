"""Records as CSV from their list: those that were chosen, or all that the list shows."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import reverse
from unfold.decorators import action

from contacts.exports import csv_lines
from contacts.models import Record, RecordType
from crm.auditing import audit_request
from crm.tables import download


class ExportPage:
    """Mixed into pages of records, before the base of the page; the permission is `export` of the matrix."""

    model: Any
    resource: str
    opts: Any

    @admin.action(description="Export as CSV", permissions=["export"])
    def export_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> StreamingHttpResponse | None:
        """The rows that were chosen."""
        return self._export(request, queryset)

    @action(description="Export", icon="download", permissions=["export"], url_path="export")
    def export_shown(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """Everything that the list shows under its filters and its search, on whatever page."""
        page: Any = self
        to_list = HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))
        try:
            shown = page.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return to_list
        return self._export(request, shown) or to_list

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The button keeps the filters of the list."""
        answer: Any = super().changelist_view(request, extra_context)  # type: ignore[misc]
        given = getattr(answer, "context_data", None) or {}
        if "cl" in given:
            for button in given.get("actions_list", ()):
                if str(button.get("path", "")).endswith("/export/"):
                    button["path"] += given["cl"].get_query_string(remove=["p", "all"])
        return answer  # type: ignore[no-any-return]

    def _export(self, request: HttpRequest, chosen: QuerySet[Any]) -> StreamingHttpResponse | None:
        chosen = chosen.order_by()
        kinds = list(RecordType.objects.filter(pk__in=chosen.values("type"))[:2]) if self.model is Record else [None]
        if len(kinds) != 1:
            messages.error(request, "Export records of one type: filter the list by type first.")
            return None
        (kind,) = kinds
        details: dict[str, Any] = {self.resource: chosen.count()} | ({"type": kind.key} if kind else {})
        audit_request(request=request, action=f"{self.resource}.export", **details)
        rows = self.model.objects.filter(pk__in=chosen.values("pk")).order_by("pk")
        lines = csv_lines(rows=rows, team=getattr(request, "team", None), kind=kind)
        return download(kind.key if kind else self.resource, lines)
