"""Which new records enter which pipeline by themselves: one list over all pipelines."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from crm.scoping import TeamScopedAdmin
from pipelines.admin.editor import editor_data
from pipelines.admin.links import table_time
from pipelines.admin.triggers import AutomaticForm, plain_labels, remove_trigger, subject_words
from pipelines.documents import document_of, trigger_values
from pipelines.engine.clock import engine_now
from pipelines.models import AutomaticPipeline, Pipeline
from pipelines.operations import InvalidDocument, PipelineChanged, validate_document
from pipelines.operations import triggers as operations
from pipelines.operations.records import lock
from pipelines.subjects import subject_label

FIELDS = ("pipeline", "model", "enabled", "reentry", "where")


class AutomaticPageForm(AutomaticForm):
    """Checked together with the whole pipeline, because the next version contains it."""

    wanted: dict[str, Any]

    class Meta(AutomaticForm.Meta):
        fields = list(FIELDS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["where"].widget.attrs["data-condition"] = "true"

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        pipeline = self.cleaned_data.get("pipeline") or (self.instance.pipeline if self.instance.pk else None)
        if pipeline is not None and not self.errors:
            try:
                lock(pipeline)
            except PipelineChanged as error:
                self.add_error(None, str(error))
            else:
                self._check(pipeline)
        return cleaned

    def _check(self, pipeline: Pipeline) -> None:
        self.wanted = self._values(pipeline)
        document = document_of(pipeline)
        listed = [*document.get("triggers", [])]
        place = operations.place_of(self.instance) if self.instance.pk else len(listed)
        document["triggers"] = [*listed[:place], self.wanted, *listed[place + 1 :]]
        start = f"triggers[{place}]"
        for problem in validate_document(document, pipeline.team):
            if problem.severity != "error":
                continue
            if problem.path.startswith(start):
                name = problem.path.removeprefix(start).lstrip(".").split(".")[0].split("[")[0]
                self.add_error(name if name in self.fields else None, problem.message)
            else:
                self.add_error(None, f"The pipeline has a problem of its own: {problem.path}: {problem.message}")

    def _values(self, pipeline: Pipeline) -> dict[str, Any]:
        kept = trigger_values(self.instance) if self.instance.pk else {}
        model = self.cleaned_data.get("model") or pipeline.subject_type
        values = {
            **kept,
            "type": "created",
            "automatic": True,
            "model": subject_label(model.pk, pipeline.subject_record) if model else None,
            "enabled": bool(self.cleaned_data.get("enabled")),
            "reentry": self.cleaned_data.get("reentry"),
            "where": self.cleaned_data.get("where"),
        }
        return {name: value for name, value in values.items() if value is not None}


@admin.register(AutomaticPipeline)
class AutomaticPipelineAdmin(TeamScopedAdmin[AutomaticPipeline]):
    """Team, records, pipeline, conditions, on or off."""

    nothing = "Every new contact, company, deal or record enters the pipelines named here, the moment it is saved."
    form = AutomaticPageForm
    fields = FIELDS
    change_form_template = "admin/pipelines/automatic_form.html"
    list_display = ("leads_to", "applies_to", "is_on", "fired")
    list_display_links = ("leads_to",)
    list_filter = ("enabled",)
    list_select_related = ("pipeline", "model")
    search_fields = ("pipeline__name",)
    ordering = ("pipeline__name", "id")

    class Media:
        css = {"all": ("pipelines/pipelines.css",)}
        js = (
            "pipelines/dom.js",
            "pipelines/conditions.js",
            "pipelines/parameters.js",
            "pipelines/steps.js",
            "pipelines/triggers.js",
        )

    @display(description="Pipeline", ordering="pipeline__name")
    def leads_to(self, row: AutomaticPipeline) -> str:
        return row.pipeline.name

    @display(description="New records of")
    def applies_to(self, row: AutomaticPipeline) -> str:
        return subject_words(row.model, row.pipeline) if row.model else "—"

    @display(description="Enabled", ordering="enabled", label={"On": "success", "Off": "default"})
    def is_on(self, row: AutomaticPipeline) -> str:
        return "On" if row.enabled else "Off"

    @display(description="Last used", ordering="last_fired_at")
    def fired(self, row: AutomaticPipeline) -> str:
        return table_time(row.last_fired_at, engine_now())

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The pipeline of an existing row stays: runs know by which way they came."""
        fixed = super().get_readonly_fields(request, obj)
        return (*fixed, "pipeline") if obj is not None else fixed

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["fields"] = list(FIELDS)
        return super().get_form(request, obj, change=change, **kwargs)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "model" and field is not None:
            plain_labels(field)
            field.label = "New records of"
            field.empty_label = "The record the pipeline applies to"
        if db_field.name == "pipeline" and field is not None:
            field.queryset = field.queryset.exclude(status=Pipeline.Status.ARCHIVED)
        return field

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """No "add another model" beside the drop-down."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "model" and field is not None:
            field.widget = getattr(field.widget, "widget", field.widget)
        return field

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        data = editor_data(pipeline=None, team=getattr(request, "team", None))
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), "editor": data})

    def save_model(self, request: HttpRequest, obj: AutomaticPipeline, form: Any, change: bool) -> None:
        if change:
            operations.change_trigger(trigger=obj, values=form.wanted, by=request.user)
        else:
            obj.pk = operations.add_trigger(pipeline=obj.pipeline, values=form.wanted, by=request.user).pk
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: AutomaticPipeline) -> None:
        try:
            operations.remove_trigger(trigger=obj, by=request.user)
        except InvalidDocument:
            # A draft that cannot be published yet has no version to keep in step with.
            remove_trigger(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AutomaticPipeline]) -> None:
        for pk in list(queryset.values_list("pk", flat=True)):
            # Each removal changes its pipeline, so each row is read when its turn comes.
            self.delete_model(request, AutomaticPipeline.objects.select_related("pipeline").get(pk=pk))
