"""The versions of a pipeline: a list, what differs between two, and the way back to an old one."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from pipelines import operations, pictures
from pipelines.admin.publishing import Dialog, Publishing
from pipelines.definition.layout import places
from pipelines.documents import document_of
from pipelines.models import Pipeline, PipelineVersion
from pipelines.operations.drafts import has_draft
from pipelines.operations.planning import Policy
from pipelines.queries import VersionRow, version_rows

DRAFT = "draft"


class VersionPages(Publishing):
    """Pages below the page of a pipeline; whoever may see it may read them, to go back one must publish."""

    get_object: Any
    has_view_permission: Any
    has_publish_permission: Any

    def get_urls(self) -> list[URLPattern]:
        """The pages of the versions before those of the model itself."""
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/versions/", wrap(self.versions_view), name="pipelines_pipeline_versions"),
            path("<int:pk>/versions/difference/", wrap(self.difference_view), name="pipelines_pipeline_difference"),
            path("<int:pk>/versions/<int:number>/back/", wrap(self.back_view), name="pipelines_pipeline_back"),
        ]
        inherited: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return [*own, *inherited]

    def versions_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Who published what and when, and how many runs are on each."""
        pipeline = self._seen(request, pk)
        rows = version_rows(pipeline=pipeline)
        current = next((row for row in rows if row.is_current), None)
        draft = has_draft(pipeline)
        before = rows[1:2] or rows[:1]
        context = {
            "rows": rows,
            "has_draft": draft,
            # What people mostly want to see: what is not published yet, else what came last.
            "from_number": current.number if draft and current else before[0].number if before else None,
            "current": current,
            "may_go_back": self._may_go_back(request, pipeline),
            "difference": reverse("admin:pipelines_pipeline_difference", args=(pipeline.pk,)),
        }
        return self._page(request, pipeline, "versions", f"Versions of {pipeline.name}", context)

    def difference_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Two versions beside each other, in words and as one picture; `draft` is what the rows say now."""
        pipeline = self._seen(request, pk)
        rows = version_rows(pipeline=pipeline)
        old = self._document(pipeline, request.GET.get("from", ""), rows)
        new = self._document(pipeline, request.GET.get("to", ""), rows)
        context = {
            "rows": rows,
            "from": request.GET.get("from", ""),
            "to": request.GET.get("to", ""),
            "changes": pictures.changes(old, new),
            "may_be_given": self._may_be_given(request, pipeline, request.GET.get("to", "")),
            "picture": pictures.of_changes(old, new),
        }
        return self._page(request, pipeline, "difference", "What changed", context)

    def back_view(self, request: HttpRequest, pk: int, number: int) -> HttpResponse:
        """Publish an old version's document again, after the question."""
        pipeline = self._seen(request, pk)
        version = pipeline.versions.filter(number=number).first()
        if version is None or not self._may_go_back(request, pipeline):
            raise Http404("There is no such version, or you may not publish.")
        drops = version.pk == pipeline.current_version_id
        if drops and not has_draft(pipeline):
            raise Http404("This version is the current one, and nothing was edited since.")
        back = reverse("admin:pipelines_pipeline_versions", args=(pipeline.pk,))
        if request.method != "POST":
            dialog = Dialog.of(pipeline, version.document)
            title = "Drop what was not published?" if drops else f"Go back to version {number}?"
            button = "Drop it" if drops else f"Go back to version {number}"
            return self.ask_to_publish(request, dialog, title=title, back=back, button=button)
        note = request.POST.get("note", "").strip()

        def act(policy: Policy | None) -> PipelineVersion:
            return operations.roll_back(pipeline=pipeline, version=version, by=request.user, note=note, policy=policy)

        said = f"The pipeline is as version {number} has it again."
        before = pipeline.current_version_id
        return self.publish_as_answered(request, pipeline, act=act, back=back, before=before, unchanged=said)

    def _seen(self, request: HttpRequest, pk: int) -> Pipeline:
        pipeline: Pipeline | None = self.get_object(request, str(pk))
        if pipeline is None or not self.has_view_permission(request, pipeline):
            raise Http404("There is no such pipeline.")
        return pipeline

    def _may_go_back(self, request: HttpRequest, pipeline: Pipeline) -> bool:
        return pipeline.status != Pipeline.Status.ARCHIVED and bool(self.has_publish_permission(request))

    def _may_be_given(self, request: HttpRequest, pipeline: Pipeline, to: str) -> set[str]:
        """Steps that those who have passed them may be given: of the current version, outside of its blocks."""
        current = pipeline.current_version
        fits = pipeline.status in (Pipeline.Status.ACTIVE, Pipeline.Status.PAUSED)
        if current is None or to != str(current.number) or not fits or not self.has_publish_permission(request):
            return set()
        return {place.key for place in places(current.document)}

    def _document(self, pipeline: Pipeline, name: str, rows: list[VersionRow]) -> Any:
        if name == DRAFT:
            return document_of(pipeline)
        if not any(name == str(row.number) for row in rows):
            raise Http404("There is no such version.")
        return pipeline.versions.values_list("document", flat=True).get(number=int(name))

    def _page(
        self, request: HttpRequest, pipeline: Pipeline, template: str, title: str, context: dict[str, Any]
    ) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.opts, "title": title, "pipeline": pipeline}
        return TemplateResponse(request, f"admin/pipelines/{template}.html", {**shared, **context})
