"""Importing a CSV file: upload, look at how it is read, correct that, then take it."""

import csv
from io import StringIO
from itertools import islice
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminFileFieldWidget

from contacts.custom import KEY, key_from_header
from contacts.imports.apply import Existing, Options, Result, import_table
from contacts.imports.mapping import FIELDS, Column, ColumnMap, MappingProblem, check_columns, map_columns
from crm.auditing import audit_request
from crm.csv_files import MemoryBytes, Table, UnreadableFile, inspect
from crm.import_files import ImportFiles

# What one request can do while a person waits; the command takes files of any length.
LARGEST: Final = 10 * 1024 * 1024
MOST_ROWS: Final = 25_000
SHOWN: Final = 8
SHOWN_PROBLEMS: Final = 200


class UploadForm(forms.Form):
    """The file."""

    file = forms.FileField(
        label="CSV file", widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.tsv,.txt,text/csv"})
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > LARGEST:
            raise forms.ValidationError(
                f"The file has {file.size / 1_048_576:.1f} MB; at most {LARGEST // 1_048_576} can be uploaded here."
                " The command import_contacts takes larger ones."
            )
        return file


class Upload:
    """A file that lies here, and how the person wants it read."""

    def __init__(self, *, token: str, table: Table, columns: ColumnMap, options: Options, problem: str = "") -> None:
        self.token, self.table, self.columns, self.options = token, table, columns, options
        self.problem = problem


def import_view(request: HttpRequest, *, model_admin: Any) -> HttpResponse:
    """Three looks of one page: upload, preview, result."""
    if getattr(request, "team", None) is None:
        messages.error(request, "Switch to a team first: contacts are imported into one.")
        return _page(request, model_admin)
    if request.method == "POST" and "token" in request.POST:
        return _take(request, model_admin)
    if request.method == "POST":
        return _upload(request, model_admin)
    return _page(request, model_admin, form=UploadForm())


def errors_view(request: HttpRequest, *, model_admin: Any, token: str) -> HttpResponse:
    """The rows that were not taken, for the person who imported them only."""
    if not model_admin.has_bulk_permission(request):
        raise PermissionDenied
    content = _files(request).get("errors", token) if getattr(request, "team", None) else None
    if content is None:
        raise Http404
    answer = HttpResponse(content, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="not-imported.csv"'
    return answer


def _files(request: HttpRequest) -> ImportFiles:
    team: Any = getattr(request, "team", None)
    return ImportFiles(team=team, user=request.user)


def _upload(request: HttpRequest, model_admin: Any) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, model_admin, form=form)
    content = form.cleaned_data["file"].read()
    try:
        table = _read(content)
    except UnreadableFile as problem:
        form.add_error("file", str(problem))
        return _page(request, model_admin, form=form)
    columns, problem_of_columns = _guess(table)
    _files(request).clear("errors")
    token = _files(request).put("upload", content)
    upload = Upload(token=token, table=table, columns=columns, options=Options(), problem=problem_of_columns)
    return _preview(request, model_admin, upload)


def _read(content: bytes) -> Table:
    table = inspect(source=MemoryBytes(content))
    if table.row_count > MOST_ROWS:
        raise UnreadableFile(
            f"The file has {table.row_count:,} rows; {MOST_ROWS:,} can be imported here at once."
            " Split it, or use the command import_contacts."
        )
    return table


def _guess(table: Table) -> tuple[ColumnMap, str]:
    """Columns by their titles; when no title says anything, a person says where they go."""
    try:
        return map_columns(header=table.header), ""
    except MappingProblem:
        return _columns(table, []), "No title of a column is known here. Say below which holds an email or a name."


def _columns(table: Table, targets: list[str]) -> ColumnMap:
    """Columns as chosen on the page, in the order of the file."""
    chosen = [*targets, *[""] * len(table.header)]
    return ColumnMap(
        columns=tuple(
            Column(index=index, title=title, target=chosen[index]) for index, title in enumerate(table.header)
        )
    )


def _take(request: HttpRequest, model_admin: Any) -> HttpResponse:
    """Read the file that lies here with the chosen columns: again as a preview, or for good."""
    token = request.POST["token"]
    content = _files(request).get("upload", token)
    if content is None:
        messages.error(request, "This file is no longer here: it was imported, or another was uploaded since.")
        return _page(request, model_admin, form=UploadForm())
    table = _read(content)
    options = Options(
        existing=Existing.SKIP if request.POST.get("existing") == "skip" else Existing.UPDATE,
        enroll=request.POST.get("enroll") == "yes",
    )
    columns = _columns(table, request.POST.getlist("target"))
    upload = Upload(token=token, table=table, columns=columns, options=options)
    try:
        check_columns(columns)
    except MappingProblem as problem:
        upload.problem = str(problem)
    if upload.problem or "import" not in request.POST:
        return _preview(request, model_admin, upload)
    return _import(request, model_admin, upload)


def _import(request: HttpRequest, model_admin: Any, upload: Upload) -> HttpResponse:
    result, errors = _run(request, upload, upload.options)
    files = _files(request)
    files.clear("upload")
    token = files.put("errors", errors.encode("utf-8-sig")) if result.reported else ""
    numbers: dict[str, Any] = result.as_dict()
    audit_request(request=request, action="contacts.import", team=getattr(request, "team", None), **numbers)
    return _page(request, model_admin, form=UploadForm(), result=result, errors=token)


def _run(request: HttpRequest, upload: Upload, options: Options) -> tuple[Result, str]:
    """The numbers and the text of the errors file."""
    sink = StringIO()
    team: Any = getattr(request, "team", None)
    result = import_table(
        team=team, table=upload.table, columns=upload.columns, options=options, open_errors=lambda: sink
    )
    return result, sink.getvalue()


def _preview(request: HttpRequest, model_admin: Any, upload: Upload) -> HttpResponse:
    """How the file will be read, and every row that cannot be taken; nothing is written."""
    more: dict[str, Any] = {}
    if not upload.problem:
        options = Options(existing=upload.options.existing, enroll=upload.options.enroll, dry_run=True)
        trial, errors = _run(request, upload, options)
        refused = [cells[:2] for cells in islice(csv.reader(StringIO(errors)), 1, SHOWN_PROBLEMS + 1)]
        more = {"trial": trial, "refused": refused, "wanted": trial.created + trial.updated}
    width = len(upload.table.header)
    return _page(
        request,
        model_admin,
        upload=upload,
        choices=[(column, _targets(column)) for column in upload.columns.columns],
        rows=[(*row.cells, *[""] * width)[:width] for row in islice(upload.table.rows(), SHOWN)],
        **more,
    )


def _targets(column: Column) -> list[tuple[str, str]]:
    """Where a column may go: nowhere, a field, or a custom value of its own name."""
    fields = [(name, name.replace("_", " ").capitalize()) for name in FIELDS]
    key = column.title.strip().lower().removeprefix("custom.")
    key = key if KEY.match(key) else key_from_header(column.title)
    return [("", "Not read"), *fields, (f"custom.{key}", f"Custom value “{key}”")]


def _page(request: HttpRequest, model_admin: Any, **more: Any) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": "Import contacts",
        **more,
    }
    return TemplateResponse(request, "admin/contacts/import.html", context)
