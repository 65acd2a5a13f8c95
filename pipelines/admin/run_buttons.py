"""Pause, resume, cancel and retry: for one run on its page, for many on the list, always after a question."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant

from crm.auditing import audit_request
from pipelines.admin.activating import counted
from pipelines.admin.confirming import Confirming, Question
from pipelines.admin.links import subject_words
from pipelines.admin.replaying import ReplayPage
from pipelines.engine.controls import cancel_runs, pause_runs, resume_runs, retry_runs
from pipelines.engine.ending import ACTIVE, LIVE
from pipelines.engine.rekeying import Holders, entered_again, in_the_way
from pipelines.models import PipelineRun
from pipelines.states import RunStatus

AT_ONCE: Final = 2_000
Work = Callable[..., int]


@dataclass(frozen=True, slots=True)
class Verb:
    """Something an operator may do to runs."""

    name: str
    done: str
    fits: frozenset[int]
    work: Work
    many: str
    one: str
    danger: bool = False

    @property
    def label(self) -> str:
        return self.name.capitalize()


VERBS: Final = {
    verb.name: verb
    for verb in (
        Verb(
            "pause", "paused", frozenset(ACTIVE), pause_runs,
            many="They stop where they are until somebody resumes them; what is already being sent is sent.",
            one="It stops where it is until somebody resumes it; what is already being sent is sent.",
        ),
        Verb(
            "resume", "resumed", frozenset({RunStatus.PAUSED.value}), resume_runs,
            many="They go on at the time they had; what came due meanwhile happens at once.",
            one="It goes on at the time it had; if that has passed, at once.",
        ),
        Verb(
            "cancel", "cancelled", frozenset(LIVE), cancel_runs,
            many="They end here and cannot be resumed. What has not left yet is called off.",
            one="It ends here and cannot be resumed. What has not left yet is called off.",
            danger=True,
        ),
        Verb(
            "retry", "retried", frozenset({RunStatus.FAILED.value}), retry_runs,
            many="They try the step again at which they failed, at once, and go on from there.",
            one="It tries the step again at which it failed, at once, and goes on from there.",
        ),
    )
}  # fmt: skip


class RunButtons(ReplayPage, Confirming):
    """Needs the verb "operate"; refuses what does not fit the state of a run."""

    actions = ("pause_selected", "resume_selected", "cancel_selected", "retry_selected")
    actions_detail: Sequence[Any] = ("retry_page", "resume_page", "pause_page", "replay_page", "cancel_page")
    get_object: Any

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        """Only the buttons that fit the state of the run."""
        found = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        run = self.get_object(request, str(object_id))
        if run is None:
            return []
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        names = {each.action_name: each.action_name.removeprefix(prefix).removesuffix("_page") for each in found}
        return [each for each in found if _fits(names[each.action_name], run)]

    @action(
        description="Retry", icon="replay", permissions=["operate"], url_path="retry", variant=ActionVariant.PRIMARY
    )
    def retry_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._one(request, object_id, VERBS["retry"])

    @action(
        description="Resume", icon="play_arrow", permissions=["operate"], url_path="resume",
        variant=ActionVariant.PRIMARY,
    )  # fmt: skip
    def resume_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._one(request, object_id, VERBS["resume"])

    @action(description="Pause", icon="pause", permissions=["operate"], url_path="pause")
    def pause_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._one(request, object_id, VERBS["pause"])

    @action(
        description="Cancel", icon="cancel", permissions=["operate"], url_path="cancel", variant=ActionVariant.DANGER
    )
    def cancel_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._one(request, object_id, VERBS["cancel"])

    @admin.action(description="Pause selected runs", permissions=["operate"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[PipelineRun]) -> HttpResponse:
        return self._many(request, queryset, VERBS["pause"])

    @admin.action(description="Resume selected runs", permissions=["operate"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[PipelineRun]) -> HttpResponse:
        return self._many(request, queryset, VERBS["resume"])

    @admin.action(description="Cancel selected runs", permissions=["operate"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[PipelineRun]) -> HttpResponse:
        return self._many(request, queryset, VERBS["cancel"])

    @admin.action(description="Retry selected failed runs", permissions=["operate"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[PipelineRun]) -> HttpResponse:
        return self._many(request, queryset, VERBS["retry"])

    def _one(self, request: HttpRequest, object_id: str, verb: Verb) -> HttpResponse:
        run = self.get_object(request, object_id)
        if run is None or run.status not in verb.fits:
            raise Http404("There is no such run, or it is in another state.")
        back = reverse("admin:pipelines_pipelinerun_change", args=(run.pk,))
        again = _in_again(verb, [run.pk])
        if again:
            other = again[run.pk]
            messages.warning(
                request, f"The record came in again since, in run {other}: replay a copy of this one if you want both."
            )
            return HttpResponseRedirect(back)
        question = Question(f"{verb.label} this run?", [verb.one], f"{verb.label} the run", verb.danger)

        def perform(_: str) -> str:
            if not verb.work(run_ids=[run.pk], by=request.user):
                return "Nothing changed: the run has moved on meanwhile."
            audit_request(request=request, action=f"pipeline-runs.{verb.done}", target=run, team=run.pipeline.team)
            return f"The run was {verb.done}."

        return self.ask(
            request, target=f"{subject_words(run)} in {run.pipeline}", question=question, perform=perform, back=back
        )

    def _many(self, request: HttpRequest, queryset: QuerySet[PipelineRun], verb: Verb) -> HttpResponse:
        # The newest first: of several runs of one record that exclude each other it is the one to go on.
        ids = list(queryset.filter(status__in=verb.fits).order_by("-pk").values_list("pk", flat=True))
        back = request.get_full_path()
        if not ids:
            messages.warning(request, f"None of these runs can be {verb.done}.")
            return HttpResponseRedirect(back)
        if "confirmed" not in request.POST:
            return self._ask_about_many(request, verb, ids=ids, chosen=queryset.count(), back=back)
        left = in_the_way(_in_again(verb, ids))
        done = sum(verb.work(run_ids=ids[at : at + AT_ONCE], by=request.user) for at in range(0, len(ids), AT_ONCE))
        audit_request(request=request, action=f"pipeline-runs.{verb.done}", target=f"{done} runs", count=done)
        messages.success(request, f"{counted(done, 'run was', 'runs were')} {verb.done}. {left}".strip())
        return HttpResponseRedirect(back)

    def _ask_about_many(
        self, request: HttpRequest, verb: Verb, *, ids: list[int], chosen: int, back: str
    ) -> HttpResponse:
        again = _in_again(verb, ids)
        count = len(ids)
        sentences = [verb.many, *filter(None, [in_the_way(again)])]
        if chosen > count:
            sentences.append(f"{chosen - count:,} of the selected runs cannot be {verb.done} and are left alone.")
        runs = counted(count - len(again), "run", "runs")
        question = Question(f"{verb.label} {runs}?", sentences, f"{verb.label} {runs}", verb.danger)
        kept = ("action", "select_across", ACTION_CHECKBOX_NAME)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": question.title,
            "question": question,
            "target": runs,
            "back": back,
            "hidden": [(name, value) for name in kept for value in request.POST.getlist(name)],
        }
        return TemplateResponse(request, "admin/pipelines/confirm.html", context)


def _in_again(verb: Verb, ids: list[int]) -> dict[int, int]:
    """Of runs that are to be retried those whose records came in again since, with the run in their way."""
    found: dict[int, int] = {}
    holders: Holders = {}
    for at in range(0, len(ids) if verb.work is retry_runs else 0, AT_ONCE):
        found |= entered_again(ids[at : at + AT_ONCE], holders=holders)
    return found


def _fits(name: str, run: PipelineRun) -> bool:
    """Whether a button stands on the page of this run; replaying fits any whole run."""
    return run.status in VERBS[name].fits if name in VERBS else run.parent_id is None
