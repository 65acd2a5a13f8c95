"""Taking in a list of suppressions: upload, look at how it is read, then take it; and giving the list out."""

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminFileFieldWidget

from crm.auditing import audit_request
from crm.csv_files import MemoryBytes, UnreadableFile, inspect
from crm.import_files import ImportFiles
from crm.suppression_files import COLUMNS, Taken, take
from crm.tables import csv_rows

# What one request can do while a person waits; the command takes files of any length.
LARGEST: Final = 10 * 1024 * 1024


class UploadForm(forms.Form):
    """The file."""

    file = forms.FileField(widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.tsv,.txt,text/csv"}))

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > LARGEST:
            raise forms.ValidationError("At most 10 MB can be uploaded; `manage.py suppressions import` takes more.")
        return file


def import_view(request: HttpRequest, *, model_admin: Any) -> HttpResponse:
    """Three looks of one page: upload, preview, result."""
    team: Any = getattr(request, "team", None)
    if not model_admin.has_add_permission(request):
        raise PermissionDenied
    if team is None:
        messages.error(request, "Switch to a team first: the list belongs to one.")
        return _page(request, model_admin)
    if request.method != "POST":
        return _page(request, model_admin, form=UploadForm())
    if "token" in request.POST:
        return _take(request, model_admin, team)
    return _look(request, model_admin, team)


def _look(request: HttpRequest, model_admin: Any, team: Any) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, model_admin, form=form)
    file = form.cleaned_data["file"]
    content = file.read()
    try:
        trial = _read(content, team, f"import of {file.name}", dry_run=True)
    except UnreadableFile as problem:
        form.add_error("file", str(problem))
        return _page(request, model_admin, form=form)
    token = ImportFiles(team=team, user=request.user).put("upload", content)
    return _page(request, model_admin, trial=trial, token=token, name=file.name)


def _take(request: HttpRequest, model_admin: Any, team: Any) -> HttpResponse:
    files = ImportFiles(team=team, user=request.user)
    content = files.get("upload", request.POST["token"])
    if content is None:
        messages.error(request, "This file is no longer here: it was imported, or another was uploaded since.")
        return _page(request, model_admin, form=UploadForm())
    done = _read(content, team, f"import of {request.POST.get('name', '')[:150]}", dry_run=False)
    files.clear("upload")
    audit_request(
        request=request, action="suppressions.import", team=team, new=done.new, known=done.known, failed=done.failed
    )
    return _page(request, model_admin, form=UploadForm(), result=done)


def _read(content: bytes, team: Any, source: str, *, dry_run: bool) -> Taken:
    table = inspect(source=MemoryBytes(content))
    return take(team=team, table=table, source=source, now=timezone.now(), dry_run=dry_run)


def _page(request: HttpRequest, model_admin: Any, **more: Any) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": "Import suppressions",
        "shown": more.get("trial") or more.get("result"),
        **more,
    }
    return TemplateResponse(request, "admin/crm/suppression_import.html", context)


def export_view(request: HttpRequest, *, model_admin: Any) -> StreamingHttpResponse:
    """All suppressions of the team, with their reasons."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    audit_request(request=request, action="suppressions.export", team=getattr(request, "team", None))
    rows = model_admin.get_queryset(request).order_by("pk")
    return csv_rows("suppressions", COLUMNS, rows.values_list(*COLUMNS))
