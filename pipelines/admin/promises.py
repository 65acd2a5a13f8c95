"""Keeping what a simulation showed as a promise, and the pages that change or remove one; all act on POST alone."""

from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from pipelines.admin.confirming import Question
from pipelines.admin.fields import JsonArea, JsonField
from pipelines.admin.problems import LinkedProblem, link
from pipelines.admin.promised import mark_of, stories_of
from pipelines.documents import document_of
from pipelines.engine.clock import engine_now
from pipelines.models import Pipeline
from pipelines.operations import InvalidDocument, Refused
from pipelines.operations.drafts import has_draft
from pipelines.operations.promises import promising, write_promises
from pipelines.simulation.expect import MAX_STORIES
from pipelines.simulation.keeping import Kept, broken_at_once, promise_of
from pipelines.simulation.scenario import ScenarioError

LONGEST_NAME: Final = 120
_PREFIX: Final = "meta.expect"


class PromiseForm(forms.Form):
    """One promise as the document has it."""

    promise = JsonField(
        expect=dict, required=True, label="The promise", widget=JsonArea({"rows": 24}),
        help_text="name, given (the story), then (what must come of it).",
    )  # fmt: skip


class CannotKeep(Exception):
    """The promise is not kept; the sentence says why."""


class PromisePages:
    """Below the page of simulations; who may change the pipeline may change what it promises."""

    admin_site: Any
    opts: Any
    ask: Any
    get_object: Any
    has_view_permission: Any
    has_change_permission: Any
    simulation_page: Any
    story_of: Any

    def get_urls(self) -> list[URLPattern]:
        """The pages of promises before those of the model itself."""
        wrap, below = self.admin_site.admin_view, "<int:pk>/simulate/promises/"
        own = [
            path(f"{below}keep/", wrap(self.keep_view), name="pipelines_pipeline_keep_promise"),
            path(f"{below}<str:mark>/edit/", wrap(self.edit_view), name="pipelines_pipeline_edit_promise"),
            path(f"{below}<str:mark>/remove/", wrap(self.remove_view), name="pipelines_pipeline_remove_promise"),
        ]
        inherited: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return [*own, *inherited]

    def keep_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Play the story once more, with a sample, and put down what came of it."""
        pipeline = self._changeable(request, pk)
        if request.method != "POST":
            return HttpResponseRedirect(promises_page(pipeline))
        document = document_of(pipeline)
        try:
            story = self.story_of(request, pipeline, document)
            name = _free_name(request.POST.get("name", ""), document)
            kept = promise_of(team=pipeline.team, document=document, name=name, story=story, now=engine_now())
            self._keep(request, pipeline, document, kept)
        except (CannotKeep, Refused, ScenarioError, InvalidDocument) as error:
            answer: HttpResponse = self.simulation_page(request, pipeline, refused=str(error))
            return answer
        messages.success(request, f"“{name}” is a promise now.{_taken(kept)}{_not_yet(pipeline)}")
        if request.POST.get("way", kept.way) != kept.way:
            messages.warning(
                request, "With these values it goes another way than what you saw: look at what the promise holds."
            )
        return HttpResponseRedirect(promises_page(pipeline, mark_of(kept.promise)))

    def _keep(self, request: HttpRequest, pipeline: Pipeline, document: dict[str, Any], kept: Kept) -> None:
        stories = [*stories_of(document), kept.promise]
        if len(stories) > MAX_STORIES:
            raise CannotKeep(f"A pipeline has at most {MAX_STORIES} promises: remove one first.")
        broken = broken_at_once(team=pipeline.team, document=promising(document, stories), index=len(stories) - 1)
        if broken:
            raise CannotKeep(f"It does not come out twice alike, so nobody can promise it: {broken[0].sentence}.")
        write_promises(
            pipeline=pipeline, promises=stories, by=request.user, action="keep_promise", name=kept.promise["name"]
        )

    def edit_view(self, request: HttpRequest, pk: int, mark: str) -> HttpResponse:
        """One promise as JSON; it is saved once it can be read and the document is valid with it, kept or not."""
        pipeline = self._changeable(request, pk)
        document = document_of(pipeline)
        index = _index(document, mark)
        if index is None and request.method != "POST":
            raise Http404("There is no such promise any more.")
        stories = stories_of(document)
        sent = request.POST if request.method == "POST" else None
        form = PromiseForm(sent, initial={"promise": stories[index]} if index is not None else {})
        problems: list[LinkedProblem] = []
        if form.is_valid() and index is not None:
            stories = [*stories[:index], form.cleaned_data["promise"], *stories[index + 1 :]]
            problems = self._edited(request, pipeline, promising(document, stories), index)
            if not problems:
                return HttpResponseRedirect(promises_page(pipeline, mark_of(stories[index])))
        elif index is None:
            text = "Somebody else changed or removed this promise meanwhile. Copy what you wrote before you go back."
            problems = [LinkedProblem("Not saved", "", text, is_error=True)]
        context = {
            **self.admin_site.each_context(request), "opts": self.opts, "title": "Edit a promise", "pipeline": pipeline,
            "form": form, "problems": problems, "back": promises_page(pipeline),
        }  # fmt: skip
        return TemplateResponse(request, "admin/pipelines/promise_form.html", context)

    def _edited(
        self, request: HttpRequest, pipeline: Pipeline, document: dict[str, Any], index: int
    ) -> list[LinkedProblem]:
        """Save the document with the edited promise in it; else what keeps it from being saved."""
        stories = stories_of(document)
        name = str(stories[index].get("name") or f"Story {index}")
        try:
            broken = broken_at_once(team=pipeline.team, document=document, index=index)
            write_promises(pipeline=pipeline, promises=stories, by=request.user, action="change_promise", name=name)
        except InvalidDocument as error:
            return link(error.errors, document)
        except ScenarioError as error:
            place = error.path.removeprefix(f"{_PREFIX}[{index}]").removeprefix(".") or "The promise"
            return [LinkedProblem(place, error.path, error.message, is_error=True)]
        except Refused as error:
            return [LinkedProblem("Not saved", "", str(error), is_error=True)]
        messages.success(request, f"“{name}” was saved.{_not_yet(pipeline)}")
        if broken:
            messages.warning(request, f"It is not as promised yet: {broken[0].sentence}. Publishing will be refused.")
        return []

    def remove_view(self, request: HttpRequest, pk: int, mark: str) -> HttpResponse:
        """Take one promise out of the document, after a question."""
        pipeline = self._changeable(request, pk)
        document = document_of(pipeline)
        index = _index(document, mark)
        if index is None:
            raise Http404("There is no such promise any more.")
        stories = stories_of(document)
        story = stories[index]
        name = str((story.get("name") if isinstance(story, dict) else "") or f"Story {index}")
        question = Question(
            f"Remove the promise “{name}”?",
            ["It is not played before a publish any more. The versions that were published keep it."],
            "Remove",
            danger=True,
        )

        def perform(_: str) -> str:
            rest = [*stories[:index], *stories[index + 1 :]]
            # With one promise less no document is worse, so one may go out of a draft that is not valid yet.
            write_promises(
                pipeline=pipeline, promises=rest, by=request.user, action="remove_promise", name=name, checked=True
            )
            return f"“{name}” is no promise any more.{_not_yet(pipeline)}"

        back = promises_page(pipeline)
        answer: HttpResponse = self.ask(request, target=pipeline, question=question, perform=perform, back=back)
        return answer

    def _changeable(self, request: HttpRequest, pk: int) -> Pipeline:
        pipeline: Pipeline | None = self.get_object(request, str(pk))
        if pipeline is None or not self.has_view_permission(request, pipeline):
            raise Http404("There is no such pipeline.")
        if not self.has_change_permission(request, pipeline):
            raise PermissionDenied
        return pipeline


def promises_page(pipeline: Pipeline, only: str = "") -> str:
    """Where promises are listed and played: all of them, or one."""
    query = urlencode({"who": "expect", **({"only": only} if only else {})})
    return f"{reverse('admin:pipelines_pipeline_simulate_page', args=(pipeline.pk,))}?{query}"


def _index(document: dict[str, Any], mark: str) -> int | None:
    return next((index for index, story in enumerate(stories_of(document)) if mark_of(story) == mark), None)


def _free_name(text: str, document: dict[str, Any]) -> str:
    name = text.strip()
    if not name:
        raise CannotKeep("Give the promise a name, such as “A customer is thanked after a day”.")
    if len(name) > LONGEST_NAME:
        raise CannotKeep(f"The name of a promise has at most {LONGEST_NAME} letters.")
    if any(isinstance(story, dict) and story.get("name") == name for story in stories_of(document)):
        raise CannotKeep(f"There is a promise “{name}” already: give this one another name.")
    return name


def _taken(kept: Kept) -> str:
    """What of a real record stands in the promise."""
    if kept.fields is None:
        return ""
    own = f"has {', '.join(kept.fields)} of the record" if kept.fields else "has no value of the record"
    return (
        f" Its sample {own}: only what the pipeline reads. Names and addresses are made up, and fields marked as"
        " personal are left out."
    )


def _not_yet(pipeline: Pipeline) -> str:
    return " It stands in the draft until you publish." if has_draft(pipeline) else ""
