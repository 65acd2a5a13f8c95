"""The page that starts a test run: what stays here, what is changed for real, and for whom."""

from typing import Any, Final, NamedTuple

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextInputWidget

from contacts.models import Contact
from crm.auditing import audit_request
from pipelines.actions.registry import kinds
from pipelines.admin.buttons import page_of
from pipelines.admin.records import NotNamedError, record_named
from pipelines.engine.enroll import NotEnrollable, check_open, enroll
from pipelines.engine.programs import programs
from pipelines.models import Pipeline
from pipelines.subjects import subject_type

# Steps that leave something behind in the data of the team.
CHANGING: Final = frozenset(
    {
        "create_record", "update_record", "add_to_segment", "remove_from_segment", "create_segment", "create_task",
        "human_task", "notify",
    }
)  # fmt: skip


class Doing(NamedTuple):
    """A step by its name, and what it does in words."""

    name: str
    what: str


class TestRunForm(forms.Form):
    """Who goes through."""

    record = forms.CharField(
        required=False, label="Record", max_length=200,
        widget=UnfoldAdminTextInputWidget({"placeholder": "Name, email or number"}),
        help_text="Choose one that was made for tests: what the steps change of it stays changed.",
    )  # fmt: skip


class TestRunButton:
    """A button on the page of a pipeline, and the page behind it; needs what enrolling needs."""

    admin_site: Any
    opts: Any
    get_object: Any

    @action(description="Test run", icon="labs", permissions=["enroll"], url_path="test-run")
    def test_run_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say what would happen on GET; begin on POST and lead to the run."""
        pipeline: Pipeline | None = self.get_object(request, object_id)
        if pipeline is None or pipeline.status == Pipeline.Status.ARCHIVED:
            raise Http404
        form = TestRunForm(request.POST if request.method == "POST" else None)
        several: list[Contact] = []
        if request.method == "POST" and form.is_valid():
            run, several = _begun(request, pipeline, form)
            if run is not None:
                return HttpResponseRedirect(reverse("admin:pipelines_pipelinerun_change", args=(run,)))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Test {pipeline.name}",
            "pipeline": pipeline,
            "form": form,
            "several": several,
            "refusal": _refusal(pipeline),
            "back": page_of(pipeline),
            **_told(pipeline),
        }
        return TemplateResponse(request, "admin/pipelines/test_run.html", context)


def _refusal(pipeline: Pipeline) -> str:
    """Why no test of it can begin, and what to do; empty when one can."""
    try:
        check_open(pipeline, test=True)
    except NotEnrollable as error:
        return str(error)
    return ""


def _told(pipeline: Pipeline) -> dict[str, Any]:
    """What the version that runs follow would change, and what would be captured."""
    if pipeline.current_version_id is None:
        return {}
    known = kinds()
    changing: list[Doing] = []
    captured: list[Doing] = []
    others: list[Doing] = []
    for step in programs({pipeline.current_version_id})[pipeline.current_version_id].program.steps:
        kind = known.get(step.kind)
        if kind is None:
            continue
        doing = Doing(step.name or step.key, kind.label)
        if step.kind in CHANGING or kind.code.startswith("custom."):
            changing.append(doing)
        elif kind.effects and step.kind != "code":
            captured.append(doing)
        elif step.kind in ("call", "enroll"):
            others.append(doing)
    return {"changing": changing, "captured": captured, "others": others, "version": pipeline.current_version}


def _begun(request: HttpRequest, pipeline: Pipeline, form: forms.Form) -> tuple[int | None, list[Contact]]:
    """The run that began, or those among which one must choose; the form says what is wrong."""
    subject, several = _record(pipeline, form)
    if several or form.errors:
        return None, several
    try:
        run, why = _begin(request, pipeline, subject)
    except NotEnrollable as error:
        form.add_error(None, str(error))
        return None, []
    if run is None:
        form.add_error("record", f"No run began: {why}")
        return None, []
    messages.success(request, "The test run began. Nothing of it is sent; what it changes of records is real.")
    return run, []


def _begin(request: HttpRequest, pipeline: Pipeline, subject: int | None) -> tuple[int | None, str]:
    """The new run, noted in the audit log in one commit; or None and why there is none."""
    with transaction.atomic():
        result = enroll(pipeline=pipeline, subject_ids=[subject], by=request.user, test=True)
        if not result.enrolled:
            return None, str(result.decisions[subject][1])
        (run,) = result.enrolled
        audit_request(request=request, action="pipelines.tested", target=pipeline, team=pipeline.team, run=run)
        return run, ""


def _record(pipeline: Pipeline, form: forms.Form) -> tuple[int | None, list[Contact]]:
    """The id of the record that is meant, or those among which one must choose; the form says what is wrong."""
    kind = None if pipeline.subject_type_id is None else subject_type(pipeline.subject_type_id)
    try:
        return record_named(pipeline, kind, form.cleaned_data["record"])
    except NotNamedError as error:
        form.add_error("record", f"{capfirst(str(error))}.")
        return None, []
