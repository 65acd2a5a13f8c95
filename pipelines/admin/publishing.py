"""The question before a publish: who is on the way, what happens to them, and which of the ways to go."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from pipelines import pictures
from pipelines.admin.backfilling import offer_backfill
from pipelines.admin.problems import LinkedProblem, link
from pipelines.documents import document_of
from pipelines.models import Pipeline, PipelineVersion
from pipelines.operations import InvalidDocument, Preview, Refused, preview
from pipelines.operations.planning import Policy

POLICIES: Final[Mapping[str, Policy]] = {"follow": "follow", "pin": "pin", "cancel": "cancel"}
LATER: Final = "later"
Act = Callable[[Policy | None], PipelineVersion]


class AnswerFirst(Exception):
    """A save would publish over the heads of people on the way: ask before anything is kept."""

    def __init__(self, dialog: "Dialog") -> None:
        super().__init__("Somebody is on the way.")
        self.dialog = dialog


@dataclass(frozen=True, slots=True)
class Way:
    """One of the ways to publish."""

    value: str
    label: str
    help: str
    checked: bool = False


@dataclass(frozen=True, slots=True)
class Dialog:
    """Everything the question shows."""

    pipeline: Pipeline
    preview: Preview
    sentences: Sequence[str]
    picture: str
    ways: Sequence[Way]
    # What was edited and never published, where another document takes its place.
    lost: Sequence[str] = ()
    going_back: bool = False
    # What may surprise whoever publishes it, told while they can still turn back.
    warnings: Sequence[LinkedProblem] = ()

    @classmethod
    def of(cls, pipeline: Pipeline, document: Mapping[str, Any] | None = None, *, later: bool = False) -> "Dialog":
        """About publishing the rows as they stand, or another document in their place."""
        rows = document_of(pipeline)
        wanted = rows if document is None else document
        found = preview(pipeline=pipeline, document=wanted, policy="follow")
        current = pipeline.current_version
        old = current.document if current is not None else {"steps": []}
        sentences = [change.sentence for change in pictures.changes(old, wanted)] if current is not None else []
        drawn = pictures.of_changes(old, wanted) if current is not None else pictures.on_page(wanted)
        lost = [change.sentence for change in pictures.changes(old, rows)] if document is not None else []
        doubts = [each for each in link(found.problems, wanted) if not each.is_error]
        ways = _ways(pipeline, found, later=later)
        return cls(pipeline, found, sentences, drawn, ways, lost, document is not None, doubts)

    @property
    def is_possible(self) -> bool:
        """Whether nothing keeps it from being published, other than promises."""
        return not any(problem.severity == "error" for problem in self.preview.problems)

    @property
    def may_force(self) -> bool:
        """Whether there are promises that keep it from being published; who goes back is not held up by them."""
        return bool(self.pipeline.meta.get("expect")) and not self.going_back


def _ways(pipeline: Pipeline, found: Preview, *, later: bool) -> list[Way]:
    follows = pipeline.versioning == Pipeline.Versioning.FOLLOW
    ways = []
    if found.on_the_way:
        ways += [
            Way("follow", "They follow", f"{_told(found)} Everybody goes on in the new version.".strip(), follows),
            Way("pin", "They stay on their version", "Nobody on the way notices; who comes from now on is on the new"
                " version. The next version may take them along.", not follows),
            Way("cancel", "They end here", "Everybody on the way stops now and is not told.", False),
        ]  # fmt: skip
    if later:
        ways.append(Way(LATER, "Save without publishing", "Nothing changes for anybody until you publish.", not ways))
    return ways


def _told(found: Preview) -> str:
    moved = found.moved
    parts = [
        (moved.retimed, "wait for another time"),
        (moved.passed_on, "are passed on from a step that goes"),
        (moved.completed, "complete because their step goes"),
    ]
    said = ", ".join(f"{count:,} {words}" for count, words in parts if count)
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def broken_promises(pipeline: Pipeline, error: InvalidDocument) -> SafeString | None:
    """What is not as the document promises, and where to play it; None when something else is wrong as well."""
    wrong = error.errors
    if not wrong or not all(problem.path.startswith("meta.expect") for problem in wrong):
        return None
    # A story is one promise, however much of it does not come true.
    stories = {problem.path.partition("]")[0] for problem in wrong}
    count = "1 promise is" if len(stories) == 1 else f"{len(stories):,} promises are"
    play = reverse("admin:pipelines_pipeline_simulate_page", args=(pipeline.pk,))
    anyway = reverse("admin:pipelines_pipeline_publish_page", args=(pipeline.pk,))
    return format_html(
        '{} not kept: {}. <a class="pl-link" href="{}?who=expect">Play them all</a>, or <a class="pl-link" href="{}">'
        "publish anyway</a>.",
        count, wrong[0].message, play, anyway,
    )  # fmt: skip


class Publishing:
    """Shows the dialog and acts on its answer."""

    admin_site: Any
    opts: Any

    def ask_to_publish(
        self,
        request: HttpRequest,
        dialog: Dialog,
        *,
        title: str,
        back: str,
        button: str = "Publish",
        hidden: Sequence[tuple[str, str]] = (),
    ) -> HttpResponse:
        """The page with the question; `hidden` carries a form that waits for the answer."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "pipeline": dialog.pipeline,
            "dialog": dialog,
            "back": back,
            "button": button,
            "hidden": hidden,
        }
        return TemplateResponse(request, "admin/pipelines/publish.html", context)

    def publish_as_answered(
        self, request: HttpRequest, pipeline: Pipeline, *, act: Act, back: str, before: int | None, unchanged: str = ""
    ) -> HttpResponse:
        """Act with the chosen policy; refusals become messages. `unchanged` is said where nothing was published."""
        try:
            version = act(POLICIES.get(request.POST.get("policy", "")))
        except InvalidDocument as error:
            listed = back == reverse("admin:pipelines_pipeline_change", args=(pipeline.pk,))
            told = broken_promises(pipeline, error) or f"{error}{' — see the list on this page.' if listed else ''}"
            messages.error(request, format_html("Not done: {}", told))
        except Refused as error:
            messages.error(request, str(error))
        else:
            same = version.pk == before
            nothing = unchanged or f"Nothing changed since version {version.number}."
            messages.success(request, nothing if same else f"Published as version {version.number}.")
            if not same:
                offer_backfill(request, pipeline=version.pipeline, before=before, after=version)
        return HttpResponseRedirect(back)
