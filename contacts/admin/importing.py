"""Importing a CSV file: upload, say where columns go, look at what would happen, start it, watch it."""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminFileFieldWidget

from contacts.custom import KEY, key_from_header
from contacts.imports.files import StoredBytes
from contacts.imports.lifecycle import (
    OPEN,
    WORKING,
    Choices,
    ImportRefused,
    begin_check,
    cancel,
    choices_of,
    columns_of_import,
    forget_file,
    start,
    table_of,
)
from contacts.imports.mapping import EMAIL, EXTERNAL_ID, FIELDS, PHONE, Column, MappingProblem, check_columns
from contacts.imports.remembered import forget, recall
from contacts.imports.uploads import bring, guess
from contacts.models import Contact, ContactImport
from contacts.own_fields import definitions
from crm.auditing import audit_request
from crm.csv_files import UnreadableFile

SHOWN: Final = 8
SHOWN_PROBLEMS: Final = 200
LAST: Final = 5
State = ContactImport.State


class UploadForm(forms.Form):
    """The file."""

    file = forms.FileField(
        label="CSV file", widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.tsv,.txt,text/csv"})
    )


def upload_view(request: HttpRequest, *, model_admin: Any) -> HttpResponse:
    """A form for a file, and the last imports below it."""
    team: Any = getattr(request, "team", None)
    if team is None:
        messages.error(request, "Switch to a team first: contacts are imported into one.")
        return _page(request, model_admin)
    if request.method != "POST":
        return _upload_page(request, model_admin, UploadForm())
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _upload_page(request, model_admin, form)
    try:
        row = bring(team=team, upload=form.cleaned_data["file"], by=request.user, source=ContactImport.Source.PAGE)
    except UnreadableFile as problem:
        form.add_error("file", str(problem))
        return _upload_page(request, model_admin, form)
    return _to(row)


def import_view(request: HttpRequest, row: ContactImport, *, model_admin: Any) -> HttpResponse:
    """The page of one import, whatever state it is in."""
    if request.method == "POST":
        if not model_admin.has_run_permission(request, row):
            raise PermissionDenied
        return _do(request, row, model_admin)
    more = _choosing(row, columns_of_import(row).columns) if row.state in OPEN else {}
    return _page(request, model_admin, row=row, title=f"Import of {row.name}", **more, **_outcome(row))


def progress_of(row: ContactImport) -> dict[str, Any]:
    """What the page asks for every second."""
    numbers = row.counts
    return {
        "state": row.state,
        "working": row.state in WORKING,
        "waiting": not row.position and not row.claim,
        "position": row.position,
        "rows": row.row_count,
        "percent": row.percent,
        "counts": {name: numbers.get(name, 0) for name in ("created", "updated", "skipped", "failed", "enrolled")},
    }


def _do(request: HttpRequest, row: ContactImport, model_admin: Any) -> HttpResponse:
    """What the button says; a refusal is told on the page."""
    wish = request.POST.get("do", "")
    try:
        if wish == "check" or (wish == "start" and _choices(request, row) != choices_of(row)):
            return _check(request, row, model_admin)
        if wish in _DEEDS:
            _DEEDS[wish](request, row)
    except ImportRefused as refused:
        messages.error(request, str(refused))
    return _to(row)


def _check(request: HttpRequest, row: ContactImport, model_admin: Any) -> HttpResponse:
    """Columns that do not fit are shown as they were chosen, with what is wrong."""
    choices = _choices(request, row)
    try:
        begin_check(row=row, choices=choices)
    except MappingProblem as problem:
        row.targets, row.key, row.existing, row.enroll = (
            list(choices.targets), choices.key, choices.existing, choices.enroll,
        )  # fmt: skip
        more = _choosing(row, columns_of_import(row).columns)
        return _page(request, model_admin, row=row, title=f"Import of {row.name}", **{**more, "problem": str(problem)})
    if request.POST.get("do") == "start":
        messages.info(request, "You chose otherwise, so the file is checked again before it is imported.")
    return _to(row)


def _start(request: HttpRequest, row: ContactImport) -> None:
    start(row=row, now=timezone.now())
    audit_request(request=request, action="contacts.import_started", target=row, team=row.team)


def _cancel(request: HttpRequest, row: ContactImport) -> None:
    cancel(row=row, now=timezone.now())
    audit_request(request=request, action="contacts.import_cancelled", target=row, team=row.team)


def _forget_file(request: HttpRequest, row: ContactImport) -> None:
    forget_file(row=row, now=timezone.now())
    messages.success(request, "The file and the rows that were not taken are deleted.")


def _forget_mapping(request: HttpRequest, row: ContactImport) -> None:
    forget(team=row.team, header=row.header)
    if row.state in OPEN:
        ContactImport.objects.filter(pk=row.pk, state__in=OPEN).update(
            targets=guess(row.team, row.header), key=EMAIL, state=State.DRAFT, trial={}
        )


_DEEDS: Final = {
    "start": _start, "cancel": _cancel, "forget_file": _forget_file, "forget_mapping": _forget_mapping,
}  # fmt: skip


def _choices(request: HttpRequest, row: ContactImport) -> Choices:
    """As chosen on the page."""
    existing = ContactImport.Existing
    targets = [*request.POST.getlist("target"), *[""] * len(row.header)][: len(row.header)]
    return Choices(
        targets=targets,
        key=request.POST.get("key", EMAIL),
        existing=existing.SKIP if request.POST.get("existing") == "skip" else existing.UPDATE,
        enroll=request.POST.get("enroll") == "yes",
    )


def _choosing(row: ContactImport, columns: tuple[Column, ...]) -> dict[str, Any]:
    """Where each column goes, beside the first rows."""
    width = len(row.header)
    rows: list[tuple[str, ...]] = []
    problem = ""
    own = {f"custom.{field['key']}": str(field["label"]) for field in definitions(team=row.team_id, model=Contact)}
    try:
        table = table_of(row, StoredBytes(row.file))
        rows = [(*each.cells, *[""] * width)[:width] for each in islice(table.rows(), SHOWN)]
        check_columns(columns_of_import(row), key=row.key)
    except (UnreadableFile, MappingProblem) as error:
        problem = str(error)
    return {
        "choices": [(column, _targets(column, own)) for column in columns],
        "keys": _keys(row, columns, own),
        "rows": rows,
        "problem": problem,
        "remembered": _remembered(row),
    }


def _remembered(row: ContactImport) -> Any:
    """When the columns were chosen so before; None when they were not."""
    before = recall(team=row.team, header=row.header)
    same = before is not None and [each.target for each in before.columns.columns] == row.targets
    return before.used_at if before is not None and same and before.key == row.key else None


def _outcome(row: ContactImport) -> dict[str, Any]:
    """The numbers, and the first rows that were not taken."""
    if row.state in WORKING or row.state == State.DRAFT:
        return {"progress": progress_of(row)}
    numbers = row.numbers
    return {
        "numbers": numbers,
        "wanted": numbers.get("created", 0) + numbers.get("updated", 0),
        "keep_days": settings.IMPORT_KEEP_DAYS,
        "pipelines": list(numbers.get("pipelines", {}).values()),
        "refused": list(row.problems.order_by("line").values_list("line", "reason")[:SHOWN_PROBLEMS]),
    }


def _targets(column: Column, own: Mapping[str, str]) -> list[tuple[str, str]]:
    """Where a column may go: nowhere, a field, one that the team defines, or a custom value of its own name."""
    fields = [(name, name.replace("_", " ").capitalize()) for name in FIELDS]
    customs = {_custom_target(column), column.target} - {"", *FIELDS, *own}
    return [("", "Not read"), *fields, *own.items(), *((target, _spoken(target)) for target in sorted(customs))]


def _keys(row: ContactImport, columns: tuple[Column, ...], own: Mapping[str, str]) -> list[tuple[str, str]]:
    """By what contacts can be recognized: what a column of the file holds or could hold."""
    customs = {column.target for column in columns if column.target.startswith("custom.")}
    customs |= {_custom_target(column) for column in columns if not column.target}
    known = dict.fromkeys([EMAIL, PHONE, *sorted(customs - {""}), row.key])
    return [(key, own.get(key) or _spoken(key)) for key in known]


def _custom_target(column: Column) -> str:
    key = column.title.strip().lower().removeprefix("custom.")
    key = key if KEY.match(key) else key_from_header(column.title)
    return f"custom.{key}"


def _spoken(target: str) -> str:
    if target == EXTERNAL_ID:
        return "External ID"
    plain = target.removeprefix("custom.")
    return f"Custom value “{plain}”" if target != plain else plain.replace("_", " ").capitalize()


def _to(row: ContactImport) -> HttpResponse:
    return redirect("admin:contacts_contactimport_change", row.pk)


def _upload_page(request: HttpRequest, model_admin: Any, form: UploadForm) -> HttpResponse:
    team: Any = getattr(request, "team", None)
    last = ContactImport.objects.for_team(team).order_by("-pk")[:LAST]
    return _page(request, model_admin, form=form, last=last)


def _page(request: HttpRequest, model_admin: Any, **more: Any) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": "Import contacts",
        **more,
    }
    return TemplateResponse(request, "admin/contacts/import.html", context)
