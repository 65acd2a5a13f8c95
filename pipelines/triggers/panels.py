"""What pipelines add to the page of a record: where it is, what comes next, and what it did there."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse

from contacts.models import Contact
from contacts.panels import Panel
from contacts.timeline import Entry
from pipelines.actions.registry import step_title
from pipelines.models import PipelineRun
from pipelines.queries import contact_runs, runs_of
from pipelines.states import RunStatus

SHOWN = 10
_OVER = (RunStatus.COMPLETED, RunStatus.CANCELLED)
ENDED = {RunStatus.COMPLETED.value: "completed", RunStatus.FAILED.value: "failed", RunStatus.CANCELLED.value: "ended"}


def runs_panel(request: HttpRequest, record: Model, /) -> Panel:
    """The newest runs with the next step and when."""
    runs = contact_runs(subject=record, limit=SHOWN)
    why = reverse("explain", args=[record._meta.label_lower, record.pk])
    coming = reverse("calendar", args=[record.pk]) if isinstance(record, Contact) else ""
    context = {"runs": [_line(r) for r in runs], "why": why, "coming": coming}
    return Panel(title="Pipelines", template="admin/pipelines/runs_panel.html", context=context)


def _line(run: PipelineRun) -> dict[str, Any]:
    status = RunStatus(run.status)
    step = run.step
    return {
        "name": _marked(run, run.pipeline.name),
        "url": reverse("admin:pipelines_pipelinerun_change", args=(run.pk,)),
        "status": status.name.lower(),
        "step": step_title(step) if step is not None and status not in _OVER else "",
        "at": run.next_step_at if status == RunStatus.PENDING else run.finished_at,
        "waits": status == RunStatus.PENDING,
        # The deadline of what it waits for, where it has one.
        "until": run.next_step_at if status == RunStatus.WAITING else None,
    }


def count_runs(others: Sequence[Model], /) -> tuple[str, int]:
    """Runs that go on for the contact that others are merged into."""
    kind = ContentType.objects.get_for_model(others[0])
    runs = PipelineRun.objects.filter(subject_type=kind, subject_id__in=[other.pk for other in others], parent=None)
    return "Runs", runs.count()


def run_entries(*, subject: Model, before: datetime | None, limit: int) -> Sequence[Entry]:
    """Entering a pipeline and leaving it, as lines of the timeline."""
    began = runs_of(subject)
    ended = runs_of(subject).filter(status__in=ENDED)
    if before is not None:
        began, ended = began.filter(created_at__lt=before), ended.filter(finished_at__lt=before)
    entries = [_entry(run, run.created_at, "Entered", "login") for run in began.order_by("-created_at")[:limit]]
    entries += [
        _entry(run, run.finished_at, f"{ENDED[run.status].capitalize()}:", "flag")
        for run in ended.order_by("-finished_at")[:limit]
        if run.finished_at is not None
    ]
    return sorted(entries, key=lambda entry: entry.at, reverse=True)[:limit]


def _entry(run: PipelineRun, at: datetime, verb: str, icon: str) -> Entry:
    url = reverse("admin:pipelines_pipelinerun_change", args=(run.pk,))
    return Entry(at=at, kind="run", title=_marked(run, f"{verb} {run.pipeline.name}"), url=url, icon=icon)


def _marked(run: PipelineRun, words: str) -> str:
    """A test says that it is one, as what it asks of people does."""
    return f"Test: {words}" if run.test else words
