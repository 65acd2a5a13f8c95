"""Bringing a pipeline in: a document uploaded or pasted, with every problem told at once."""

import json
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget, UnfoldBooleanSwitchWidget

from crm.models import Team
from pipelines import operations
from pipelines.admin.buttons import page_of
from pipelines.admin.fields import JsonArea
from pipelines.admin.problems import LinkedProblem, link
from pipelines.definition.document import in_words
from pipelines.dialects import translated
from pipelines.operations import InvalidDocument, Refused
from pipelines.operations.drafts import has_draft


class ImportForm(forms.Form):
    """A file or pasted text, and what to do with it."""

    team = forms.ModelChoiceField(queryset=Team.objects.none(), widget=UnfoldAdminSelectWidget())
    file = forms.FileField(required=False, label="File", widget=UnfoldAdminFileFieldWidget())
    text = forms.CharField(
        required=False, label="Or paste the document", strip=False,
        help_text="Of ours, or as another product wrote it: steps, actions with delays, flows, nodes with edges.",
        widget=JsonArea({"rows": 14, "placeholder": '{"format": "crm.pipeline/1", …}'}),
    )  # fmt: skip
    replace = forms.BooleanField(
        required=False, label="Replace a pipeline that has the same key", widget=UnfoldBooleanSwitchWidget()
    )
    activate = forms.BooleanField(required=False, label="Activate it at once", widget=UnfoldBooleanSwitchWidget())

    def __init__(self, *args: Any, request: HttpRequest, may_activate: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        team = getattr(request, "team", None)
        if team is not None:
            del self.fields["team"]
        else:
            self.fields["team"].queryset = Team.objects.order_by("name")  # type: ignore[attr-defined]
        if not may_activate:
            del self.fields["activate"]

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        source = self._source()
        if source and not self.errors:
            self.cleaned_data["document"] = _read(source)
        return cleaned

    def _source(self) -> str:
        upload = self.cleaned_data.get("file")
        if upload is not None:
            most = settings.PIPELINES_MAX_DOCUMENT_BYTES
            if upload.size > most:
                raise ValidationError(f"This file has {in_words(upload.size)}; at most {in_words(most)} are read.")
            try:
                return str(upload.read().decode("utf-8-sig"))
            except UnicodeDecodeError:
                raise ValidationError("This file is not UTF-8 text.") from None
        text = str(self.cleaned_data.get("text") or "")
        if not text.strip() and not self.errors:
            raise ValidationError("Choose a file or paste a document.")
        return text


def import_view(request: HttpRequest, *, model_admin: Any) -> HttpResponse:
    """GET shows the form; POST imports or lists what is wrong."""
    if not model_admin.has_add_permission(request):
        raise PermissionDenied
    may_activate = bool(model_admin.has_activate_permission(request))
    sent = request.method == "POST"
    form = ImportForm(
        request.POST if sent else None, request.FILES if sent else None, request=request, may_activate=may_activate
    )
    problems: list[LinkedProblem] = []
    if sent and form.is_valid():
        document = form.cleaned_data["document"]
        team: Any = form.cleaned_data.get("team") or getattr(request, "team", None)
        try:
            pipeline = operations.import_document(
                team=team,
                document=document,
                by=request.user,
                activate=bool(form.cleaned_data.get("activate")),
                replace=form.cleaned_data["replace"],
            )
        except InvalidDocument as error:
            problems = link(error.problems, document)
        except Refused as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"“{pipeline.name}” was imported.")
            if has_draft(pipeline):
                messages.info(request, "Runs go on as before until its changes are published.")
            return HttpResponseRedirect(page_of(pipeline))
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": "Import a pipeline",
        "form": form,
        "problems": problems,
        "media": model_admin.media,
    }
    return TemplateResponse(request, "admin/pipelines/import.html", context)


def _read(text: str) -> Any:
    try:
        return translated(json.loads(text))
    except json.JSONDecodeError as error:
        raise ValidationError(f"Not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}.") from None
    except RecursionError:
        raise ValidationError("The document is nested too deeply.") from None
