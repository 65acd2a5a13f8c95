"""Importing a short file of companies, deals or own records: bring it, look at what would happen, take it."""

import base64
from collections.abc import Sequence
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action

from contacts.admin.record_file import ENROLL, RecordFileForm
from contacts.admin.sent_along import SentAlong
from contacts.imports.mapping import MappingProblem
from contacts.imports.records.at_once import MOST_ROWS, Outcome, import_short
from contacts.imports.records.reading import Options, Result
from contacts.imports.records.shape import ID, Shape, shape_of
from contacts.models import Record, RecordType
from crm.auditing import audit_request
from crm.csv_files import Table
from crm.permissions import allows
from crm.tables import BOM

SHOWN_PROBLEMS: Final = 200
TYPE: Final = "type__id__exact"


class ImportPage:
    """Mixed into pages of records, before the base of the page; for whoever may import contacts."""

    model: Any

    def has_bring_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        member = getattr(request, "member", None)
        role = member.role if member is not None else None
        return bool(user.is_superuser or allows(role=role, resource="contact-imports", verb="run"))

    @action(description="Import", icon="upload", permissions=["bring"], url_path="import")
    def import_page(self, request: HttpRequest) -> HttpResponse:
        return import_view(request, model_admin=self)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The button knows the type that the list is narrowed to."""
        answer: Any = super().changelist_view(request, extra_context)  # type: ignore[misc]
        chosen = request.GET.get(TYPE, "")
        if self.model is Record and _is_id(chosen):
            for button in (getattr(answer, "context_data", None) or {}).get("actions_list", ()):
                if str(button.get("path", "")).endswith("/import/"):
                    button["path"] += f"?{TYPE}={chosen}"
        return answer  # type: ignore[no-any-return]


def import_view(request: HttpRequest, *, model_admin: Any) -> HttpResponse:
    """One page in three looks: what to bring, what would happen, what happened."""
    team: Any = getattr(request, "team", None)
    title = f"Import {model_admin.opts.verbose_name_plural}"
    if team is None:
        messages.error(request, "Switch to a team first: records are imported into one.")
        return _page(request, model_admin, title=title)
    if model_admin.model is not Record:
        return _Desk(request, model_admin, shape_of(team=team, model=model_admin.model, type=None), title).answer()
    types = list(RecordType.objects.for_team(team).order_by("label", "pk"))
    type_ = _chosen(request, types)
    if type_ is None:
        return _page(request, model_admin, title=title, types=types, choosing=True)
    return _Desk(request, model_admin, shape_of(team=team, model=Record, type=type_), title).answer()


class _Desk:
    """Answers one request about one kind of record."""

    def __init__(self, request: HttpRequest, page: Any, shape: Shape, title: str) -> None:
        self._request, self._admin, self._shape, self._title = request, page, shape, title
        type_ = shape.type.pk if shape.type is not None else ""
        self._along = SentAlong(page.opts.label_lower, type_, shape.team.pk, request.user.pk)

    def answer(self) -> HttpResponse:
        request = self._request
        if request.method != "POST":
            return self._show(RecordFileForm(shape=self._shape, along=self._along))
        form = RecordFileForm(request.POST, request.FILES, shape=self._shape, along=self._along)
        if not form.is_valid() or form.table is None:
            return self._show(form)
        wanted = request.POST.get("do") == "import"
        take = wanted and form.was_looked_at
        try:
            outcome = self._work(form.table, form.options(dry_run=not take))
        except MappingProblem as problem:
            form.add_error(None, str(problem))
            return self._show(form)
        if wanted and not take:
            messages.info(request, "You chose otherwise, so this is what would happen now.")
        return self._show(form, outcome, done=take)

    def _work(self, table: Table, options: Options) -> Outcome:
        """What was written is in the audit log, however it ends."""
        done = Result()

        def progress(result: Result) -> None:
            nonlocal done
            done = result

        try:
            return import_short(shape=self._shape, table=table, options=options, progress=progress)
        finally:
            if done.rows and not options.dry_run:
                self._audit(done)

    def _audit(self, result: Result) -> None:
        type_ = {"type": self._shape.type.key} if self._shape.type is not None else {}
        audit_request(
            request=self._request,
            action=f"{self._admin.resource}.import",
            team=self._shape.team,
            **{name: value for name, value in result.as_dict().items() if name != "pipelines"},
            **type_,
        )

    def _show(self, form: RecordFileForm, outcome: Outcome | None = None, *, done: bool = False) -> HttpResponse:
        type_, header = self._shape.type, form.table.header if form.table is not None else ()
        return _page(
            self._request,
            self._admin,
            title=f"{self._title}: {type_.label}" if type_ is not None else self._title,
            query=f"?{TYPE}={type_.pk}" if type_ is not None else "",
            form=form,
            problems=[problem for problems in form.errors.values() for problem in problems],
            keys=list(self._shape.keys(header).items()),
            key=_key_of(form),
            enroll=form["enroll"].value(),
            spoken=self._shape.spoken,
            most=MOST_ROWS,
            **(self._told(form, outcome) if outcome is not None else {}),
            done=done,
        )

    def _told(self, form: RecordFileForm, outcome: Outcome) -> dict[str, Any]:
        """The numbers, the columns, and the rows that are not taken: the first as a list, all as a file."""
        result, columns = outcome.result, outcome.columns
        report = outcome.report()
        return {
            "numbers": result.as_dict(),
            "wanted": result.created + result.updated,
            "pipelines": list(result.pipelines.values()),
            "understood": [(column.title, self._shape.label(column.target)) for column in columns.used],
            "ignored": [(column.title, column.note) for column in columns.ignored],
            "refused": [(row.line, reason) for row, reason in outcome.refused[:SHOWN_PROBLEMS]],
            "refused_count": len(outcome.refused),
            "report": _as_link(report) if report else "",
            "looked": form.choices,
        }


def _key_of(form: RecordFileForm) -> Any:
    """The key as it is chosen in the list, whatever it was called."""
    return getattr(form, "cleaned_data", {}).get("key") or form["key"].value() or ID


def _as_link(report: str) -> str:
    """A file inside of a link: the page that tells of it holds it, so it is kept nowhere else."""
    content = base64.b64encode(f"{BOM}{report}".encode()).decode()
    return f"data:text/csv;charset=utf-8;base64,{content}"


def _chosen(request: HttpRequest, types: Sequence[RecordType]) -> RecordType | None:
    """The type that the address names; where there is but one, that."""
    named = request.GET.get(TYPE, "")
    if not named and len(types) == 1:
        return types[0]
    return next((each for each in types if str(each.pk) == named), None)


def _is_id(text: str) -> bool:
    return text.isdecimal() and len(text) < 10


def _page(request: HttpRequest, model_admin: Any, **more: Any) -> HttpResponse:
    opts = model_admin.opts
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": opts,
        "to_list": reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist"),
        "here": request.path,
        "enroll_choices": ENROLL,
        **more,
    }
    return TemplateResponse(request, "admin/contacts/import_records.html", context)
