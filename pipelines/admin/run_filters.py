"""Side-bar filters of runs: by what they need, and by the step where they stand."""

from typing import Any, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from pipelines.counting import LATE_AFTER
from pipelines.engine.clock import engine_now
from pipelines.models import Pipeline, PipelineRun, PipelineStep
from pipelines.models.run import FINISHED
from pipelines.states import RunStatus

STATES: Final = {
    "live": "On the way",
    "waiting": "Waiting for their time",
    "due": "Due",
    "late": "Late",
    "running": "Running",
    "paused": "Paused",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
MOST_STEPS: Final = 200


class StateFilter(admin.SimpleListFilter):
    """What a run needs, in the words of the dashboard."""

    title = "status"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(STATES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[PipelineRun]) -> QuerySet[PipelineRun]:
        condition = state_condition(self.value() or "")
        return queryset if condition is None else queryset.filter(condition)


class TestFilter(admin.SimpleListFilter):
    """Test runs alone, or none of them."""

    title = "test"
    parameter_name = "test"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Test runs"), ("no", "Real runs")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PipelineRun]) -> QuerySet[PipelineRun]:
        return queryset.filter(test=self.value() == "yes") if self.value() in ("yes", "no") else queryset


class InsideFilter(admin.SimpleListFilter):
    """Whole runs, unless somebody asks for what runs inside them, a step of it, or a run by its number."""

    title = "whole or part"
    parameter_name = "inside"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("also", "Also what runs inside"), ("only", "Only what runs inside")]

    def choices(self, changelist: Any) -> Any:
        for choice in super().choices(changelist):
            whole = choice["query_string"] == changelist.get_query_string(remove=[self.parameter_name])
            yield {**choice, "display": "Whole runs"} if whole else choice

    def queryset(self, request: HttpRequest, queryset: QuerySet[PipelineRun]) -> QuerySet[PipelineRun]:
        if self.value() == "only":
            return queryset.filter(parent__isnull=False)
        if self.value() == "also" or request.GET.get(StepFilter.parameter_name):
            return queryset
        number = request.GET.get("q", "").strip()
        known = Q(pk=int(number)) if number.isdecimal() and len(number) < 19 else Q()
        return queryset.filter(Q(parent=None) | known)


class StepFilter(admin.SimpleListFilter):
    """The step at which runs stand or that they enter next; offered once a pipeline is chosen."""

    title = "step"
    parameter_name = "step"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        chosen = request.GET.get("pipeline__id__exact", "")
        if not chosen.isdecimal() or len(chosen) > 9:
            return []
        pipelines = Pipeline.objects.for_team(getattr(request, "team", None)).filter(pk=int(chosen))
        steps = PipelineStep.objects.filter(pipeline__in=pipelines).order_by("-number")[:MOST_STEPS]
        return [(str(step.pk), str(step)) for step in sorted(steps, key=lambda each: each.number)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PipelineRun]) -> QuerySet[PipelineRun]:
        value = self.value() or ""
        return queryset.filter(step_id=int(value)) if value.isdecimal() and len(value) < 10 else queryset


def state_condition(state: str) -> Q | None:
    """The rows that a word of `STATES` means; None for no word of them."""
    now = engine_now()
    pending = Q(status=RunStatus.PENDING.value)
    match state:
        case "live":
            return ~Q(status__in=FINISHED)
        case "waiting":
            return Q(status=RunStatus.WAITING.value) | (pending & Q(next_step_at__gt=now))
        case "due":
            return pending & Q(next_step_at__lte=now)
        case "late":
            active = Q(pipeline__status=Pipeline.Status.ACTIVE)
            return pending & active & Q(next_step_at__lte=now - LATE_AFTER)
        case "running" | "paused" | "completed" | "failed" | "cancelled":
            return Q(status=RunStatus[state.upper()].value)
    return None
