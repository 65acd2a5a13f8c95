"""The resources of runs and of enrollment decisions."""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import OuterRef, Q, QuerySet, Subquery
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm.api.problems import Conflict
from crm.scoping import TeamScopedReadOnlyViewSet
from pipelines.api import bodies, shapes
from pipelines.api.errors import told
from pipelines.api.lookup import filter_by_pipeline, pipeline_named
from pipelines.counting import LATE_AFTER
from pipelines.engine.clock import engine_now
from pipelines.engine.controls import cancel_runs, pause_runs, resume_runs, retry_runs
from pipelines.engine.rekeying import entered_again, in_the_way
from pipelines.engine.replaying import CannotReplay, goes_by, replay
from pipelines.engine.retrying import entered_again_at, failed_at, retry_failed_at
from pipelines.models import EnrollmentDecision, Pipeline, PipelineRun, Trigger
from pipelines.operations.code_steps import check_replay
from pipelines.personal import personal_names
from pipelines.queries import STATUS_GROUPS
from pipelines.states import RunStatus
from pipelines.story import run_story
from pipelines.subjects import OWN, RECORD, subject_types

DATES = {"created_after": "created_at__gte", "created_before": "created_at__lt"}


def _words(text: str, known: dict[str, list[int]], name: str) -> list[int]:
    unknown = [word for word in text.split(",") if word not in known]
    if unknown:
        raise serializers.ValidationError({name: [f"{unknown[0]!r} is not one of {', '.join(known)}."]})
    return [status for word in text.split(",") for status in known[word]]


def by_status(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """`status=failed,paused`."""
    return rows.filter(status__in=_words(text, {s.name.lower(): [s.value] for s in RunStatus}, "status"))


def by_group(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """`status_group=paused`: waiting and paused runs for clients that know one word for both."""
    groups: dict[str, list[int]] = {}
    for status, word in STATUS_GROUPS.items():
        groups.setdefault(word, []).append(int(status))
    return rows.filter(status__in=_words(text, groups, "status_group"))


def by_late(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """`late=true`: due for more than two minutes."""
    late = Q(next_step_at__lt=engine_now() - LATE_AFTER, status=RunStatus.PENDING.value)
    match text.lower():
        case "true" | "1":
            return rows.filter(late)
        case "false" | "0":
            return rows.exclude(late)
    raise serializers.ValidationError({"late": ["Use true or false."]})


def by_named_subject(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """`subject=records.product:5`, as a run says what it is about; `none` for what is about no record."""
    if text == "none":
        return rows.filter(subject_id=None)
    label, _, pk = text.rpartition(":")
    kind = subject_types().get(label) if not label.startswith(OWN) else subject_types()[RECORD]
    if kind is None or not pk.isascii() or not pk.isdigit() or len(pk) > 18:
        known = ", ".join(f"{each}:<id>" for each in (*subject_types(), f"{OWN}<type>"))
        raise serializers.ValidationError({"subject": [f"Use none, or one of {known}."]})
    if label.startswith(OWN):
        rows = rows.filter(pipeline__subject_record=label.removeprefix(OWN))
    return rows.filter(subject_type_id=kind.content_type_id, subject_id=int(pk))


def by_subject(model: str) -> Callable[[QuerySet[Any], str], QuerySet[Any]]:
    """Runs of one record, such as `contact=5`."""

    def narrow(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise serializers.ValidationError({model: ["Use the id of a record."]})
        kind = ContentType.objects.get_by_natural_key("contacts", model)
        return rows.filter(subject_type=kind, subject_id=int(text))

    return narrow


SUBJECTS = {model: by_subject(model) for model in ("contact", "company", "deal")}


class RunDetailSerializer(shapes.RunSerializer):
    """A run with its story: every visit, what was decided and why, and what it remembers."""

    error = serializers.SerializerMethodField()
    variables = serializers.SerializerMethodField()
    logs = serializers.SerializerMethodField()

    class Meta(shapes.RunSerializer.Meta):
        fields: tuple[str, ...] = (*shapes.RunSerializer.Meta.fields, "error", "variables", "logs")
        read_only_fields = fields

    def to_representation(self, run: PipelineRun) -> dict[str, Any]:
        self._story = run_story(run)
        return super().to_representation(run)

    @extend_schema_field({"type": ["string", "null"]})
    def get_error(self, run: PipelineRun) -> str | None:
        """What a failed run failed with, through every block to the step inside."""
        return self._story.failure(run)

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_variables(self, run: PipelineRun) -> dict[str, Any]:
        memory = getattr(run, "context", None)
        return dict(memory.vars) if memory is not None else {}

    @extend_schema_field(shapes.VisitSerializer(many=True))
    def get_logs(self, run: PipelineRun) -> list[dict[str, Any]]:
        return [dict(shapes.VisitSerializer(visit).data) for visit in self._story.visits]


class RunViewSet(TeamScopedReadOnlyViewSet):
    """Runs: where each stands, what happened to it, and what an operator may do to it."""

    resource = "pipeline-runs"
    verbs = dict.fromkeys(("cancel", "pause", "resume", "retry", "replay", "retry_failed"), "operate")
    queryset = PipelineRun.objects.select_related("pipeline", "version", "step", "last_step")
    serializer_class = shapes.RunSerializer
    filter_fields = {
        "status": by_status,
        "status_group": by_group,
        "pipeline": filter_by_pipeline,
        "step": "step__key",
        "late": by_late,
        "test": "test",
        "root": "root_id",
        "subject": by_named_subject,
        **SUBJECTS,
        **DATES,
    }
    search_fields = ()
    ordering_fields = ("next_step_at", "created_at", "finished_at")

    @extend_schema(responses=RunDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._shown()

    @extend_schema(request=None, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """End the run; what has not left the machine is called off."""
        return self._operate(cancel_runs, "cancelled", "Only a run that has not ended can be cancelled.")

    @extend_schema(request=None, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Stop the run where it is."""
        return self._operate(pause_runs, "paused", "Only a run that is on its way can be paused.")

    @extend_schema(request=None, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Let a paused run go on."""
        return self._operate(resume_runs, "resumed", "Only a paused run can be resumed.")

    @extend_schema(request=None, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Let a failed run try its step again, unless its record came in again since."""
        run = self.get_object()
        again = entered_again([run.pk]) if run.status == RunStatus.FAILED else {}
        if again:
            raise Conflict(f"The record came in again since, in run {again[run.pk]}: replay a copy if you want both.")
        return self._operate(retry_runs, "retried", "Only a failed run can be retried.")

    @extend_schema(request=bodies.ReplayIn, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        """Let the run, or a copy of it, go on from a step; `confirm` when messages would be sent again."""
        wanted = bodies.read(bodies.ReplayIn, request)
        run = self.get_object()
        with told():
            check_replay(team=self.team, by=self.key, document=goes_by(run).document)
        try:
            found = replay(run=run, **wanted, by=request.user)
        except CannotReplay as error:
            raise Conflict(str(error)) from None
        self.audit("replayed", run, step=wanted["step"], mode=wanted["mode"], run=found.pk)
        shown = self.get_queryset().select_related("context").get(pk=found.pk)
        return Response(RunDetailSerializer(shown, context=self.get_serializer_context()).data)

    @extend_schema(request=bodies.RetryFailedIn, responses=bodies.RetriedOut, operation_id="pipeline_runs_retry_failed")
    @action(detail=False, methods=["post"], url_path="retry")
    def retry_failed(self, request: Request) -> Response:
        """Retry every run that failed at a step, with one error if it is given; without `confirm` it only counts."""
        wanted = bodies.read(bodies.RetryFailedIn, request)
        pipeline = pipeline_named(rows=Pipeline.objects.for_team(self.team), name=wanted["pipeline"])
        count = failed_at(pipeline=pipeline, step=wanted["step"], error=wanted["error"]).count()
        again = entered_again_at(pipeline=pipeline, step=wanted["step"], error=wanted["error"])
        retried = 0
        if wanted["confirm"]:
            retried = retry_failed_at(pipeline=pipeline, step=wanted["step"], error=wanted["error"], by=request.user)
            self.audit("retried", pipeline, step=wanted["step"], runs=retried)
        return Response({"count": count, "retried": retried, "entered_again": len(again), "note": in_the_way(again)})

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """A list shows whole runs; `root=<id>` those inside one, such as its branches."""
        rows = super().filter_queryset(queryset)
        return rows.filter(parent=None) if self.action == "list" and "root" not in self.request.query_params else rows

    def _operate(self, work: Callable[..., int], verb: str, refusal: str) -> Response:
        run = self.get_object()
        ids: Sequence[int] = [run.pk]
        if not work(run_ids=ids, by=self.request.user):
            raise Conflict(f"{refusal} This one is {RunStatus(run.status).name.lower()}.")
        self.audit(verb, run)
        return self._shown()

    def _shown(self) -> Response:
        run = self.get_queryset().select_related("context").get(pk=self.get_object().pk)
        return Response(RunDetailSerializer(run, context=self.get_serializer_context()).data)


def by_decision(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """`decision=conditions,error`."""
    known = {decision.name.lower(): [decision.value] for decision in EnrollmentDecision.Decision}
    return rows.filter(decision__in=_words(text, known, "decision"))


class DecisionViewSet(TeamScopedReadOnlyViewSet):
    """Why records did not enter pipelines, nor occasions that are about none (`subject=none`)."""

    resource = "pipeline-runs"
    queryset = EnrollmentDecision.objects.select_related("pipeline").annotate(
        trigger_key=Subquery(Trigger.objects.filter(pk=OuterRef("trigger_id")).values("key")[:1])
    )
    serializer_class = shapes.DecisionSerializer
    filter_fields = {
        "pipeline": filter_by_pipeline, "decision": by_decision, "after": "at__gte", "before": "at__lt", **SUBJECTS,
        "trigger": "trigger_key", "subject": by_named_subject,
    }  # fmt: skip
    search_fields = ()
    ordering_fields = ("at",)

    def get_serializer_context(self) -> dict[str, Any]:
        """With the names of what the team marked as personal: reasons are told without it."""
        return {**super().get_serializer_context(), "personal": personal_names(team_id=self.team.pk)}
