"""Importing a CSV file: upload, look at how it is read, then take it."""

import csv
import secrets
from io import StringIO
from itertools import islice
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminFileFieldWidget

from contacts.custom import key_from_header
from contacts.imports.apply import Existing, Options, Result, import_table
from contacts.imports.mapping import FIELDS, Column, ColumnMap, MappingProblem, map_columns
from contacts.imports.parse import MemoryBytes, Table, UnreadableFile, inspect
from crm.auditing import audit_request

LARGEST = 20 * 1024 * 1024
SESSION = "contacts-import"
ERRORS = "contacts-import-errors"
SHOWN = 10


class UploadForm(forms.Form):
    """The file."""

    file = forms.FileField(label="CSV file", widget=UnfoldAdminFileFieldWidget)

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > LARGEST:
            raise forms.ValidationError(
                f"The file has {file.size // 1_048_576} MB; at most {LARGEST // 1_048_576} can be uploaded here."
                " The command import_contacts takes larger ones."
            )
        return file


def import_view(request: HttpRequest, *, model_admin: Any) -> HttpResponse:
    """Three looks of one page: upload, preview, result."""
    if getattr(request, "team", None) is None:
        messages.error(request, "Switch to a team first: contacts are imported into one.")
        return _page(request, model_admin, form=None)
    if request.method == "POST" and "file" in request.FILES:
        return _upload(request, model_admin)
    if request.method == "POST" and SESSION in request.session:
        return _take(request, model_admin)
    return _page(request, model_admin, form=UploadForm())


def _upload(request: HttpRequest, model_admin: Any) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, model_admin, form=form)
    content = form.cleaned_data["file"].read()
    try:
        table, columns = _read(content, {})
    except (UnreadableFile, MappingProblem) as problem:
        form.add_error("file", str(problem))
        return _page(request, model_admin, form=form)
    _keep(request, content)
    return _preview(request, model_admin, table, columns)


def _take(request: HttpRequest, model_admin: Any) -> HttpResponse:
    """Read the stored file with the chosen columns: again as a preview, or for good."""
    content = _kept(request)
    try:
        table, columns = _read(content, _chosen(request))
    except (UnreadableFile, MappingProblem) as problem:
        messages.error(request, str(problem))
        table, columns = _read(content, {})
        return _preview(request, model_admin, table, columns)
    if "import" not in request.POST:
        return _preview(request, model_admin, table, columns)
    result = _import(request, table, columns)
    return _page(request, model_admin, form=UploadForm(), result=result)


def _import(request: HttpRequest, table: Table, columns: ColumnMap) -> Result:
    existing = Existing.SKIP if request.POST.get("existing") == "skip" else Existing.UPDATE
    options = Options(existing=existing, enroll="enroll" in request.POST, dry_run=False)
    sink = StringIO()
    team: Any = getattr(request, "team", None)
    result = import_table(team=team, table=table, columns=columns, options=options, open_errors=lambda: sink)
    _forget(request)
    if result.reported:
        request.session[ERRORS] = _store(sink.getvalue().encode("utf-8-sig"), "errors")
    numbers: dict[str, Any] = result.as_dict()
    audit_request(request=request, action="contacts.import", team=team, **numbers)
    return result


def errors_view(request: HttpRequest, *, model_admin: Any) -> HttpResponse:
    """The rows that were not taken, for the person who imported them only."""
    if not model_admin.has_bulk_permission(request):
        raise PermissionDenied
    name = request.session.get(ERRORS, "")
    if not name or not default_storage.exists(name):
        raise Http404
    with default_storage.open(name) as file:
        answer = HttpResponse(file.read(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="not-imported.csv"'
    return answer


def _preview(request: HttpRequest, model_admin: Any, table: Table, columns: ColumnMap) -> HttpResponse:
    team: Any = getattr(request, "team", None)
    wishes = Options(existing=Existing.UPDATE, enroll=False, dry_run=True)
    sink = StringIO()
    trial = import_table(team=team, table=table, columns=columns, options=wishes, open_errors=lambda: sink)
    refused = list(islice(csv.reader(StringIO(sink.getvalue())), 1, SHOWN + 1))
    return _page(
        request,
        model_admin,
        form=None,
        table=table,
        columns=columns,
        choices=[(column, _targets(column)) for column in columns.columns],
        head=list(islice(table.rows(), SHOWN)),
        trial=trial,
        refused=[cells[:2] for cells in refused],
    )


def _targets(column: Column) -> list[tuple[str, str]]:
    """Where a column may go: nowhere, a field, or a custom value of its own name."""
    custom = f"custom.{key_from_header(column.title)}"
    fields = [(name, name.replace("_", " ").capitalize()) for name in FIELDS]
    return [("", "Not read"), *fields, (custom, f"Custom value “{custom.removeprefix('custom.')}”")]


def _page(request: HttpRequest, model_admin: Any, **more: Any) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": "Import contacts",
        **more,
    }
    return TemplateResponse(request, "admin/contacts/import.html", context)


def _read(content: bytes, given: dict[str, str]) -> tuple[Table, ColumnMap]:
    table = inspect(source=MemoryBytes(content))
    return table, map_columns(header=table.header, given=given, unknown="ignore")


def _chosen(request: HttpRequest) -> dict[str, str]:
    titles, targets = request.POST.getlist("title"), request.POST.getlist("target")
    return {title: target or "-" for title, target in zip(titles, targets, strict=False)}


def _keep(request: HttpRequest, content: bytes) -> None:
    """Between two requests the file lies in the storage under a name only this session knows."""
    _forget(request)
    request.session[SESSION] = _store(content, "uploads")


def _store(content: bytes, folder: str) -> str:
    return default_storage.save(f"imports/{folder}/{secrets.token_hex(16)}.csv", ContentFile(content))


def _kept(request: HttpRequest) -> bytes:
    name = request.session[SESSION]
    if not default_storage.exists(name):
        raise Http404
    with default_storage.open(name) as file:
        return bytes(file.read())


def _forget(request: HttpRequest) -> None:
    name = request.session.pop(SESSION, "")
    if name:
        default_storage.delete(name)
