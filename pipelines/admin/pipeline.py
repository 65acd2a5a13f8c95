"""The page of a pipeline: its steps, who enters it, where its runs stand, and its buttons."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.db.models import BooleanField, Count, Exists, F, IntegerField, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from crm.models import Team
from crm.scoping import TeamScopedAdmin, TeamScopedStackedInline
from pipelines import operations, pictures
from pipelines.admin import importing, recipes
from pipelines.admin.backfilling import offer_backfill
from pipelines.admin.buttons import PipelineButtons
from pipelines.admin.editor import editor_data
from pipelines.admin.pipeline_form import PipelineForm
from pipelines.admin.pipeline_page import page_context
from pipelines.admin.publishing import LATER, POLICIES, AnswerFirst, Dialog, broken_promises
from pipelines.admin.simulating import SimulateButton
from pipelines.admin.steps import StepForm, StepFormSet
from pipelines.admin.triggers import AutomaticInline, TriggerInline, plain_labels, subject_words
from pipelines.admin.trying_for_real import TestRunButton
from pipelines.documents import document_of
from pipelines.models import AutomaticPipeline, Pipeline, PipelineRun, PipelineStep
from pipelines.models.run import OPEN
from pipelines.operations import InvalidDocument, Refused, preview
from pipelines.operations.code_steps import MayNotWriteCode, check_code, code_in
from pipelines.operations.records import change as raise_revision
from pipelines.step_rows import told
from pipelines.subjects import subject_types

# In the order in which they build on each other.
SCRIPTS = (
    "dom", "conditions", "lists", "ways", "copying", "inside", "parameters", "rules", "steps", "edges", "whole",
    "triggers",
)  # fmt: skip
STATUS_COLORS = {"Draft": "info", "Active": "success", "Paused": "warning", "Archived": "default"}


@dataclass(slots=True)
class Saved:
    """What a form has saved that is to be published when its transaction is over."""

    pipeline: Pipeline | None = None


class StepInline(TeamScopedStackedInline):
    """The steps, dragged into order."""

    model = PipelineStep
    form = StepForm
    formset = StepFormSet
    template = "admin/pipelines/steps_inline.html"
    verbose_name_plural = "Steps"

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        formset.refused_code = getattr(request, "refused_code", "")
        return formset

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Taking a step out is a change of its pipeline."""
        return self.has_change_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(archived_at=None, parent=None).order_by("number")


@admin.register(Pipeline)
class PipelineAdmin(SimulateButton, TestRunButton, PipelineButtons, TeamScopedAdmin[Pipeline]):
    """The simple face: name, subject, steps, triggers."""

    form = PipelineForm
    inlines = (StepInline, AutomaticInline, TriggerInline)
    change_form_template = "admin/pipelines/pipeline_form.html"
    list_before_template = "admin/pipelines/no_pipelines.html"
    list_display = ("title", "state", "shape", "applies_to", "live", "version", "is_automatic")
    list_display_links = ("title",)
    list_filter = ("status",)
    search_fields = ("name", "key")
    ordering = ("name", "id")
    list_select_related = ("subject_type", "current_version")
    actions = None
    actions_list = ("recipes_page", "import_page")
    fieldsets = (
        (None, {"fields": (("name", "subject_type"), "subject_record", "description", "seen_revision")}),
        (
            "Settings and advanced",
            {
                "classes": ("collapse",),
                "fields": (
                    ("key", "subject_alias"),
                    ("auto_publish", "versioning"),
                    "settings",
                    "variables",
                    "exit_rules",
                    "goals",
                ),
            },
        ),
    )

    class Media:
        css = {"all": ("pipelines/pipelines.css", "pipelines/picture.css")}
        js = tuple(f"pipelines/{name}.js" for name in SCRIPTS)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pipeline]:
        live = (
            PipelineRun.objects.entered()
            .filter(pipeline=OuterRef("pk"), status__in=OPEN)
            .order_by()
            .values("pipeline")
            .annotate(n=Count("*"))
            .values("n")
        )
        automatic = AutomaticPipeline.objects.filter(pipeline=OuterRef("pk"), enabled=True)
        rows: QuerySet[Pipeline] = super().get_queryset(request)
        drawn = PipelineStep.objects.filter(archived_at=None).order_by("number", "id")
        return (
            rows.defer("current_version__program")
            .prefetch_related(Prefetch("steps", drawn, "drawn"))
            .annotate(
                live_runs=Coalesce(Subquery(live, output_field=IntegerField()), 0),
                version_number=F("current_version__number"),
                automatic_on=Exists(automatic, output_field=BooleanField()),
            )
        )

    @display(description="Name", ordering="name", header=True)
    def title(self, row: Pipeline) -> tuple[str, str]:
        return row.name, row.key

    @display(description="Status", ordering="status", label=STATUS_COLORS)
    def state(self, row: Pipeline) -> str:
        return row.get_status_display()

    @display(description="Picture")
    def shape(self, row: Pipeline) -> SafeString:
        """Of what runs now; a draft is drawn as its rows stand."""
        if row.current_version is not None:
            return pictures.in_list(row.current_version.document)
        return pictures.in_list({"steps": told(row.drawn), "edges": row.edges})  # type: ignore[attr-defined]

    @display(description="Applies to")
    def applies_to(self, row: Pipeline) -> str:
        return subject_words(row.subject_type, row) if row.subject_type else "-"

    @display(description="On the way", ordering="live_runs")
    def live(self, row: Any) -> SafeString:
        address = f"{reverse('admin:pipelines_pipelinerun_changelist')}?pipeline__id__exact={row.pk}&state=live"
        return format_html('<a href="{}">{}</a>', address, f"{row.live_runs:,}")

    @display(description="Version")
    def version(self, row: Any) -> str:
        return str(row.version_number or "-")

    @display(description="Automatic")
    def is_automatic(self, row: Any) -> str:
        return "Yes" if row.automatic_on else "—"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        archived = isinstance(obj, Pipeline) and obj.status == Pipeline.Status.ARCHIVED
        return not archived and super().has_change_permission(request, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "subject_type" and field is not None:
            plain_labels(field)
            field.empty_label = "No record: runs stand alone"
        return field

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "subject_type" and field is not None:
            field.widget = getattr(field.widget, "widget", field.widget)
        if db_field.name == "description" and field is not None:
            field.widget.attrs["rows"] = 2
        return field

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        """Most pipelines are about contacts."""
        contact = next(iter(subject_types().values())).content_type_id
        return {"subject_type": contact, **super().get_changeform_initial_data(request)}

    @action(description="Recipes", icon="menu_book", permissions=["add"], url_path="recipes")
    def recipes_page(self, request: HttpRequest) -> HttpResponse:
        return recipes.recipes_view(request, model_admin=self)

    @action(description="Import a document", icon="upload", permissions=["add"], url_path="import")
    def import_page(self, request: HttpRequest) -> HttpResponse:
        return importing.import_view(request, model_admin=self)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        pipeline = self.get_object(request, object_id) if object_id else None
        more = {**(extra_context or {}), "editor": self._editor(request, pipeline)}
        if pipeline is not None:
            more |= page_context(pipeline, editable=self.has_change_permission(request, pipeline))
            more["may_settle"] = self.has_activate_permission(request)
        saved = Saved()
        request.saved_pipeline = saved  # type: ignore[attr-defined]
        try:
            answer = super().changeform_view(request, object_id, form_url, more)
            if saved.pipeline is not None:
                # What a pipeline promises is played now, with nothing locked and no transaction open.
                self._publish(request, saved.pipeline)
            return answer
        except MayNotWriteCode as error:
            # Nothing was kept: the page comes back as it was sent, with the reason beside its code.
            request.refused_code = str(error)  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, more)
        except AnswerFirst as asked:
            # Nothing was kept: the form goes round once more, with the answer in it.
            sent = [(name, value) for name, values in request.POST.lists() for value in values]
            hidden = [(name, value) for name, value in sent if name != "csrfmiddlewaretoken"]
            title = "People are on the way: save and publish?"
            return self.ask_to_publish(
                request, asked.dialog, title=title, back=request.path, button="Go ahead", hidden=hidden
            )

    def _editor(self, request: HttpRequest, pipeline: Pipeline | None) -> dict[str, Any]:
        team: Team | None = pipeline.team if pipeline else getattr(request, "team", None)
        return editor_data(pipeline=pipeline, team=team)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if "fields" in kwargs:
            # Edges are drawn below the steps, so no fieldset holds them.
            kwargs["fields"] = [*kwargs["fields"], "edges"]
        form = super().get_form(request, obj, change=change, **kwargs)
        form.team = obj.team if obj is not None else getattr(request, "team", None)
        return form

    def save_model(self, request: HttpRequest, obj: Pipeline, form: Any, change: bool) -> None:
        user: Any = request.user
        if not change:
            obj.created_by = obj.updated_by = user
            super().save_model(request, obj, form, change)
            return
        # Named columns only: counters of this row are raised meanwhile by enrollments.
        columns = [name for name in form.changed_data if name in {field.name for field in obj._meta.concrete_fields}]
        columns = list({*columns, "subject_record"})
        obj.save(update_fields=[*columns, "updated_at"])
        raise_revision(obj, user)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        pipeline = form.instance
        before = code_in(document_of(pipeline)) if change else frozenset()
        super().save_related(request, form, formsets, change)
        # Where it refuses, nothing of the form is kept: it is saved in one transaction.
        check_code(team=pipeline.team, by=request.user, before=before, after=code_in(document_of(pipeline)))
        self._ask_before_publishing(request, pipeline)

    def _ask_before_publishing(self, request: HttpRequest, pipeline: Pipeline) -> None:
        """With `auto_publish` a save is published once it is committed, after a question if that moves runs."""
        if not pipeline.auto_publish or not self.has_publish_permission(request):
            return
        answer = request.POST.get("policy", "")
        if answer == LATER:
            messages.info(request, "Saved, not published: runs go on as before.")
            return
        live = pipeline.current_version_id is not None
        if answer not in POLICIES and live and preview(pipeline=pipeline).touches_runs:
            raise AnswerFirst(Dialog.of(pipeline, later=True))
        request.saved_pipeline.pipeline = pipeline  # type: ignore[attr-defined]

    def _publish(self, request: HttpRequest, pipeline: Pipeline) -> None:
        """A valid save is a version; an invalid one keeps the rows and says so."""
        answer, before = request.POST.get("policy", ""), pipeline.current_version_id
        note = request.POST.get("note", "").strip()
        try:
            version = operations.publish(pipeline=pipeline, by=request.user, policy=POLICIES.get(answer), note=note)
        except InvalidDocument as error:
            told = broken_promises(pipeline, error) or _problems_on_page(len(error.errors))
            messages.warning(request, format_html("Saved, not published: {}", told))
        except Refused as error:
            messages.warning(request, f"Saved, not published: {error}")
        else:
            if version.pk != before:
                messages.success(request, f"Published as version {version.number}.")
                offer_backfill(request, pipeline=pipeline, before=before, after=version)


def _problems_on_page(count: int) -> str:
    said = "is 1 problem that keeps" if count == 1 else f"are {count} problems that keep"
    return f"there {said} it from running. Its page says which."
