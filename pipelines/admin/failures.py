"""What runs of a pipeline failed at, by step and error, and one button to try all of them again."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from crm.auditing import audit_request
from pipelines.admin.activating import counted
from pipelines.admin.confirming import Confirming, Question
from pipelines.admin.steps import action_label
from pipelines.engine.rekeying import in_the_way
from pipelines.engine.retrying import entered_again_at, failed_at, failures, retry_failed_at
from pipelines.models import Pipeline, PipelineStep


class FailurePages(Confirming):
    """Whoever sees runs sees why they failed; whoever may operate runs may try them again, after a question."""

    has_view_permission: Any
    has_operate_permission: Any

    def get_urls(self) -> list[URLPattern]:
        """The pages of a pipeline's failures before those of the model itself."""
        wrap = self.admin_site.admin_view
        own = [
            path("failures/<int:pk>/", wrap(self.failures_view), name="pipelines_failures"),
            path("failures/<int:pk>/<slug:step>/retry/", wrap(self.retry_view), name="pipelines_failures_retry"),
        ]
        inherited: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return own + inherited

    def failures_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Steps and errors, most runs first."""
        if not self.has_view_permission(request):
            raise Http404("There is no such pipeline.")
        pipeline = _pipeline(request, pk)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"What failed in {pipeline.name}",
            "pipeline": pipeline,
            "rows": [(each, each.name or action_label(each.action)) for each in failures(pipeline=pipeline)],
            "may_retry": self.has_operate_permission(request),
        }
        return TemplateResponse(request, "admin/pipelines/failures.html", context)

    def retry_view(self, request: HttpRequest, pk: int, step: str) -> HttpResponse:
        """How many would try again, and the button that lets them."""
        if not self.has_operate_permission(request):
            raise Http404("There is no such pipeline, or you may not operate its runs.")
        pipeline, error = _pipeline(request, pk), request.GET.get("error", "")
        count = failed_at(pipeline=pipeline, step=step, error=error).count()
        if not count:
            raise Http404("Nothing failed there, or somebody has tried it again already.")
        again = entered_again_at(pipeline=pipeline, step=step, error=error)
        back = reverse("admin:pipelines_failures", args=(pipeline.pk,))
        if len(again) >= count:
            messages.warning(request, f"Nothing to try again. {in_the_way(again)}")
            return HttpResponseRedirect(back)
        runs, name = counted(count - len(again), "run", "runs"), _name(pipeline, step)
        question = Question(
            f"Try {runs} again?",
            [
                f"{counted(count, 'run has', 'runs have')} failed at “{name}”{f' with “{error}”' if error else ''}.",
                "They try what failed once more, at once, as many as can run side by side, and go on from there.",
                "Branches and rounds that were done stay done; mend the cause first, or they fail again.",
                *filter(None, [in_the_way(again)]),
            ],
            f"Try {runs} again",
        )

        def perform(_: str) -> str:
            done = retry_failed_at(pipeline=pipeline, step=step, error=error, by=request.user)
            audit_request(
                request=request,
                action="pipeline-runs.retried",
                target=pipeline,
                team=pipeline.team,
                step=step,
                runs=done,
            )
            return f"{counted(done, 'run tries', 'runs try')} again. {in_the_way(again)}".strip()

        return self.ask(request, target=pipeline, question=question, perform=perform, back=back)


def failures_address(pipeline: Pipeline) -> str:
    """Where a pipeline's failures are listed."""
    return reverse("admin:pipelines_failures", args=(pipeline.pk,))


def _name(pipeline: Pipeline, step: str) -> str:
    """What people call a step; several without a name are told apart by their keys."""
    named = PipelineStep.objects.filter(pipeline=pipeline, key=step).values_list("name", flat=True).first()
    return named or step


def _pipeline(request: HttpRequest, pk: int) -> Pipeline:
    found = Pipeline.objects.for_team(getattr(request, "team", None)).select_related("team").filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such pipeline.")
    return found
