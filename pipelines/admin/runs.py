"""Runs: where each stands and why, to look at; buttons to pause, resume, cancel and retry."""

import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from unfold.decorators import display

from contacts.models import Contact
from contacts.queries import search
from crm.once import once
from crm.scoping import TeamScopedReadOnlyAdmin
from pipelines import pictures
from pipelines.actions.registry import step_title
from pipelines.admin.failures import FailurePages, failures_address
from pipelines.admin.links import from_now, link_to, subject_link, subject_words, table_time
from pipelines.admin.path import path_look
from pipelines.admin.places import whole_way
from pipelines.admin.run_buttons import RunButtons
from pipelines.admin.run_filters import InsideFilter, StateFilter, StepFilter, TestFilter
from pipelines.admin.telling import said_reason, stands, words
from pipelines.admin.timeline import timeline
from pipelines.counting import LATE_AFTER
from pipelines.engine.clock import engine_now
from pipelines.lineage import places_around
from pipelines.models import PipelineRun
from pipelines.personal import without_personal
from pipelines.states import RunStatus
from pipelines.story import Story, run_story

STATE_COLORS = {
    "late": "danger",
    "due": "warning",
    "pending": "info",
    "running": "success",
    "waiting": "info",
    "paused": "warning",
    "completed": "success",
    "failed": "danger",
    "cancelled": "default",
}


@admin.register(PipelineRun)
class PipelineRunAdmin(FailurePages, RunButtons, TeamScopedReadOnlyAdmin[PipelineRun]):
    """A run is the engine's: nobody writes its row here."""

    nothing = (
        "A run is one record on its way through one pipeline. The first begins when somebody enters an active pipeline."
    )
    change_form_template = "admin/pipelines/run_page.html"
    list_display = ("who", "pipeline", "state", "current", "following", "due_at", "began")
    list_display_links = ("who",)
    list_filter = (StateFilter, "pipeline", StepFilter, InsideFilter, TestFilter)
    list_select_related = False
    extra_lookups = ("subject_type__id__exact", "subject_id__exact")
    search_fields = ("subject_id",)
    search_help_text = "Contact, email or number of a run"
    ordering = ("-id",)
    fields = ("pipeline",)
    readonly_fields = ("pipeline",)

    class Media:
        css = {"all": ("pipelines/pipelines.css", "pipelines/picture.css")}

    def get_queryset(self, request: HttpRequest) -> QuerySet[PipelineRun]:
        rows: QuerySet[PipelineRun] = super().get_queryset(request)
        related = rows.select_related("pipeline__team", "version", "step", "last_step", "subject_type", "trigger")
        match = request.resolver_match
        shows_one = match is not None and str(match.url_name).endswith("_change")
        # The page of one run draws its version.
        unread = ["version__program"] if shows_one else ["version__document", "version__program"]
        return related.defer(*unread).prefetch_related("subject")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """All rows of a page are told at one moment."""
        changes = super().get_changelist_instance(request)
        now = engine_now()
        for run in changes.result_list:
            run.seen_at = now
        return changes

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[PipelineRun], search_term: str
    ) -> tuple[QuerySet[PipelineRun], bool]:
        """By the contact, as the list of contacts searches, or by the run's own number."""
        text = search_term.strip()
        if not text:
            return queryset, False
        team = getattr(request, "team", None)
        contacts = search(contacts=Contact.objects.for_team(team), text=text, team=team).order_by()
        found = Q(subject_type=ContentType.objects.get_for_model(Contact), subject_id__in=contacts.values("pk"))
        if text.isdecimal() and len(text) < 19:
            found |= Q(pk=int(text))
        return queryset.filter(found), False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> PipelineRun | None:
        """The page of a run, its buttons and the form behind it ask for the same run: it is read once."""
        read: Callable[[], PipelineRun | None] = partial(super().get_object, request, object_id, from_field)
        return once(request, ("run", object_id, from_field), read)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        run = self.get_object(request, object_id)
        more = {**(extra_context or {}), **(run_context(run) if run is not None else {})}
        return super().change_view(request, object_id, form_url, more)

    @display(description="About", ordering="subject_id")
    def who(self, run: PipelineRun) -> str:
        about = f"{subject_words(run)}, inside run {run.root_id}" if run.root_id else subject_words(run)
        return f"Test: {about}" if run.test else about

    @display(description="Status", ordering="status", label=STATE_COLORS)
    def state(self, run: PipelineRun) -> str:
        return state_of(run)

    @display(description="Current step")
    def current(self, run: PipelineRun) -> str:
        step = run.last_step if run.status == RunStatus.PENDING or run.is_finished else run.step
        return step_title(step) if step else "—"

    @display(description="Next step")
    def following(self, run: PipelineRun) -> str:
        return step_title(run.step) if run.next_step_id and run.step else "—"

    @display(description="When", ordering="next_step_at")
    def due_at(self, run: PipelineRun) -> str:
        return table_time(run.next_step_at if run.next_step_id else None, seen_at(run))

    @display(description="Began", ordering="id")
    def began(self, run: PipelineRun) -> str:
        return table_time(run.created_at, seen_at(run))


def seen_at(run: Any) -> datetime:
    """The moment at which a run is looked at."""
    moment: datetime = getattr(run, "seen_at", None) or engine_now()
    return moment


def state_of(run: PipelineRun) -> str:
    """The status, or that the run is due or late."""
    now = seen_at(run)
    if run.status == RunStatus.PENDING and run.next_step_at and run.next_step_at <= now:
        return "late" if run.next_step_at <= now - LATE_AFTER else "due"
    return str(run.get_status_display())


def run_context(run: PipelineRun) -> dict[str, Any]:
    """Everything the page of a run shows."""
    now = engine_now()
    run.seen_at = now  # type: ignore[attr-defined]
    story, around = run_story(run), places_around(run)
    memory = getattr(run, "context", None)
    brought = {"From the trigger": memory.trigger, "From steps": memory.outputs} if memory else {}
    kept = {
        "Variables": memory.vars if memory else {},
        **{name: without_personal(values, names=story.personal) for name, values in brought.items()},
    }
    moment = run.next_step_at if run.next_step_id else None
    return {
        "run": run,
        "title": f"{subject_words(run)} in {run.pipeline}",
        "part_of": whole_way(around),
        "state": state_of(run),
        "color": STATE_COLORS[state_of(run)],
        "stands": stands(run),
        "failed_with": story.failure(run) or "",
        "subject": subject_link(run),
        "pipeline_link": link_to(run.pipeline),
        "version_link": link_to(run.version, f"Version {run.version.number}"),
        "current_label": "Ended before" if _ended_before(run, story) else "Last step",
        "current_title": step_title(run.last_step) if run.last_step else "",
        "next_title": step_title(run.step) if run.next_step_id and run.step else "",
        "next_at": moment,
        "next_words": from_now(moment, now) if moment else "",
        "ended_because": words(run.reason or "") if said_reason(run) else "",
        "entries": timeline(run, story, around=around, now=now),
        "picture": pictures.on_page(run.version.document, look=path_look(run, story), title="The way it went"),
        "kept": [(name, _pairs(values)) for name, values in kept.items() if values],
        "alike": failures_address(run.pipeline) if run.status == RunStatus.FAILED and run.parent_id is None else "",
        "same_subject": _runs_of_subject(run),
    }


def _ended_before(run: PipelineRun, story: Story) -> bool:
    """Whether something ended the run while it waited for the time of a step, which it never did."""
    did = any(visit.seq == run.seq and visit.outcome for visit in story.own)
    return run.is_finished and run.held_until is not None and not did


def _pairs(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1))
        for name, value in values.items()
    ]


def _runs_of_subject(run: PipelineRun) -> str:
    """The list of runs of the same record, of whatever kind it is."""
    if run.subject_id is None:
        return ""
    asked = urlencode({"subject_type__id__exact": run.subject_type_id, "subject_id__exact": run.subject_id})
    return f"{reverse('admin:pipelines_pipelinerun_changelist')}?{asked}"
