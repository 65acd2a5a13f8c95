"""Records of one's own types are put into a pipeline by hand, many at once."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminSelectWidget

from contacts import hooks
from contacts.models import Record, RecordType
from crm.auditing import audit_request

MOST = 20_000
UNCHOSEN = ("", "Choose…")


class OwnPipelineForm(forms.Form):
    """One of the pipelines about this type of record."""

    value = forms.ChoiceField(label="Pipeline", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, kind: RecordType, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["value"]
        offered = hooks.manual_pipelines.choices(team=kind.team, model=Record, record_type=kind.key)
        field.choices = [UNCHOSEN, *((choice.id, choice.name) for choice in offered)] if offered else []


class EnrollOwnRecords:
    """Mixed into the page of records of one's own types."""

    admin_site: Any
    opts: Any

    @admin.action(description="Put into a pipeline…", permissions=["change"])
    def enroll_selected(self, request: HttpRequest, queryset: QuerySet[Record]) -> HttpResponse | None:
        """Ask into which pipeline; once it is chosen, do it and return to the list."""
        kinds = list(RecordType.objects.filter(pk__in=queryset.order_by().values("type")).select_related("team")[:2])
        ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: MOST + 1])
        if len(kinds) != 1 or len(ids) > MOST:
            messages.error(request, f"Choose at most {MOST:,} records of one type: filter the list by type first.")
            return None
        form = OwnPipelineForm(request.POST if "value" in request.POST else None, kind=kinds[0])
        if form.is_bound and form.is_valid():
            _enroll(request, kinds[0], int(form.cleaned_data["value"]), ids)
            return None
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts, "title": "Put into a pipeline", "form": form, "action": "enroll_selected",
            "count": len(ids), "noun": kinds[0].label.lower(),
            "selected": request.POST.getlist("_selected_action"), "across": request.POST.get("select_across", "0"),
        }  # fmt: skip
        return TemplateResponse(request, "admin/contacts/bulk.html", context)


def _enroll(request: HttpRequest, kind: RecordType, pipeline: int, ids: list[int]) -> None:
    user: Any = request.user
    try:
        entered = hooks.manual_pipelines.enroll(team=kind.team, model=Record, pipeline=pipeline, ids=ids, by=user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return
    others = " The others were in it already or may not enter." if entered < len(ids) else ""
    messages.success(request, f"{entered:,} of {len(ids):,} entered.{others}")
    audit_request(request=request, action="records.enroll_selected", records=len(ids))
