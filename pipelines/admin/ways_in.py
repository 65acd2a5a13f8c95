"""The ways into a pipeline on one page: whether a record would enter now, what schedules did, who was turned away."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from contacts.queries import with_email
from pipelines.admin.decisions import attach_subjects, hide_personal, who_of
from pipelines.admin.fields import JsonField
from pipelines.admin.telling import clause
from pipelines.engine.clock import engine_now
from pipelines.models import EnrollmentDecision, EventType, Firing, Hook, Pipeline, Trigger
from pipelines.simulation.scenario import ScenarioError
from pipelines.simulation.triggers import trigger_verdicts
from pipelines.subjects import subject_types

SHOWN = 20


class TryForm(forms.Form):
    """A record, and what happens to it."""

    record = forms.CharField(
        label="Record",
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "ada@example.org"}),
        help_text="The number of a record, or the address of a contact.",
    )
    event = forms.CharField(
        required=False,
        max_length=80,
        label="Event",
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "order.paid"}),
        help_text="Empty: as if the record were new. “updated”: as if it changed.",
    )
    payload = JsonField(
        expect=dict,
        label="What the event carries",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4, "placeholder": '{"total": 42}'}),
    )


class WaysInPage:
    """The button of the pipeline page, and what it leads to."""

    admin_site: Any
    opts: Any
    media: Any

    @action(description="Ways in", icon="login", permissions=["view"], url_path="ways-in")
    def ways_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Nothing is written, whatever is tried."""
        pipeline = self._fitting(request, object_id, "ways_page")  # type: ignore[attr-defined]
        form = TryForm(request.GET if "record" in request.GET else None, initial=_sample(pipeline))
        verdicts = _tried(pipeline, form) if form.is_bound and form.is_valid() else None
        context = {
            **self.admin_site.each_context(request),
            "title": f"Ways into {pipeline.name}",
            "opts": self.opts,
            "pipeline": pipeline,
            "form": form,
            "verdicts": verdicts,
            "triggers": pipeline.triggers.order_by("position", "id"),
            "firings": Firing.objects.filter(trigger__pipeline=pipeline)
            .select_related("trigger")
            .order_by("-pk")[:SHOWN],
            "addresses": _addresses(pipeline),
            "may_open": self.admin_site.get_model_admin(Hook).has_add_permission(request),
            "refused": _refused(pipeline),
            "now": engine_now(),
            "media": self.media,
        }
        return TemplateResponse(request, "admin/pipelines/ways_in.html", context)


def _sample(pipeline: Pipeline) -> dict[str, Any]:
    """The first event that the pipeline listens to, with what it carries."""
    trigger = pipeline.triggers.filter(kind=Trigger.Kind.EVENT).order_by("position", "id").first()
    if trigger is None:
        return {}
    kind = EventType.objects.filter(team=pipeline.team, name=trigger.event).first()
    return {"event": trigger.event, "payload": kind.sample if kind else None}


def _tried(pipeline: Pipeline, form: TryForm) -> list[dict[str, Any]]:
    """What each trigger of the pipeline would say; an answer that cannot be given is an error of the form."""
    if pipeline.subject_type is None:
        form.add_error(None, "This pipeline is about no record: every event it listens to starts a run.")
        return []
    label = f"{pipeline.subject_type.app_label}.{pipeline.subject_type.model}"
    wanted = str(form.cleaned_data["record"]).strip()
    pk: int | None = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 18 else None
    if pk is None and label == "contacts.contact" and "@" in wanted:
        pk = with_email(team=pipeline.team, emails=[wanted]).order_by("pk").values_list("pk", flat=True).first()
    if pk is None or label not in subject_types():
        form.add_error("record", "There is no such record.")
        return []
    payload = form.cleaned_data["payload"] or {}
    try:
        found = trigger_verdicts(
            team=pipeline.team, model=label, subject=pk, event=form.cleaned_data["event"], payload=payload
        )
    except ScenarioError as error:
        form.add_error("record" if error.path == "subject" else None, error.message)
        return []
    mine = [each for each in found if each["pipeline"] == pipeline.key]
    return [{**each, "clauses": _clauses(each["why"])} for each in mine]


def _refused(pipeline: Pipeline) -> list[dict[str, Any]]:
    found = EnrollmentDecision.objects.filter(pipeline=pipeline).select_related("subject_type", "pipeline")
    rows = list(found.order_by("-pk")[:SHOWN])
    attach_subjects(rows)
    hide_personal(rows)
    return [
        {
            "row": row,
            "who": who_of(row),
            "reason": row.get_decision_display(),
            "clauses": _clauses(getattr(row, "told", [])),
        }
        for row in rows
    ]


def _addresses(pipeline: Pipeline) -> list[tuple[Trigger, Hook | None]]:
    """Each webhook trigger with the address that leads to it, or none yet."""
    triggers = pipeline.triggers.filter(kind=Trigger.Kind.WEBHOOK).select_related("hook").order_by("position", "id")
    return [(trigger, getattr(trigger, "hook", None)) for trigger in triggers]


def _clauses(why: Any) -> list[Any]:
    return [clause(each) for each in why or [] if isinstance(each, dict)]
