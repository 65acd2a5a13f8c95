"""The resource `pipelines`: definitions, and what can be done to them."""

import json
from typing import Any

from django.db import transaction
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm.api.filters import refuse_unknown
from crm.scoping import TeamScopedViewSet
from pipelines import operations
from pipelines.analytics import pipeline_metrics
from pipelines.api import bodies, shapes
from pipelines.api.circuits import CircuitActions
from pipelines.api.converting import ConversionActions
from pipelines.api.errors import told
from pipelines.api.lookup import pipeline_named
from pipelines.api.simulating import Simulating
from pipelines.api.versions import VersionActions
from pipelines.dialects import translated
from pipelines.documents import document_of
from pipelines.engine.clock import engine_now
from pipelines.engine.enroll import enroll
from pipelines.models import Pipeline

DETAIL = shapes.PipelineDetailSerializer
PUBLISH = OpenApiParameter("publish", bool, description="Publish what holds blocks, too.")
DOCUMENT = {"application/json": {"type": "object", "additionalProperties": True}}


def by_status(rows: Any, text: str) -> Any:
    """`status=active`, one word or several with commas."""
    known = {status.name.lower(): status.value for status in Pipeline.Status}
    words = text.lower().split(",")
    unknown = [word for word in words if word not in known]
    if unknown:
        raise serializers.ValidationError({"status": [f"{unknown[0]!r} is not one of {', '.join(known)}."]})
    return rows.filter(status__in=[known[word] for word in words])


class PipelineViewSet(CircuitActions, ConversionActions, VersionActions, Simulating, TeamScopedViewSet):
    """Pipelines by key or id. A pipeline is written as a definition document (`crm.pipeline/1`)."""

    resource = "pipelines"
    verbs = {
        "publish": "publish", "activate": "activate", "pause": "activate", "archive": "activate", "duplicate": "add",
        "existing": "view",
        "enroll": "enroll", "trigger": "enroll", "validate": "view", "validate_document": "view", "export": "export",
        "versions": "view", "version": "view", "diff": "view", "roll_back": "publish", "picture": "view",
        "backfill": "publish",
        "metrics": "view", "conversion": "view", "choose_winner": "publish",
        "reopen_test": "publish",
        "circuits": "view", "settle_circuit": "activate", "import_document": "add",
        "simulate": "simulate", "simulate_document": "simulate",
    }  # fmt: skip
    queryset = Pipeline.objects.select_related("current_version", "team")
    serializer_class = shapes.PipelineSerializer
    filter_fields = {"status": by_status, "key": "key", "updated_after": "updated_at__gte"}
    search_fields = ("name", "key", "description")
    ordering_fields = ("name", "key", "created_at", "updated_at")
    lookup_value_regex = r"[0-9]{1,9}|[a-z][a-z0-9_]{0,39}"

    def get_object(self) -> Pipeline:
        pipeline = pipeline_named(rows=self.get_queryset(), name=self.kwargs["pk"])
        self.check_object_permissions(self.request, pipeline)
        return pipeline

    @extend_schema(responses=DETAIL)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._shown(self.get_object())

    @extend_schema(request=DOCUMENT, responses={201: DETAIL})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create a pipeline from a document; `format` may be left out."""
        document = bodies.document_in(request.data)
        with told(), transaction.atomic():
            pipeline = operations.import_document(team=self.team, document=document, by=self._by(), replace=False)
        return self._shown(pipeline, status=201)

    @extend_schema(request=DOCUMENT, responses=DETAIL, parameters=[PUBLISH])
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Replace the definition; PATCH replaces the top-level parts it names.

        A line of steps in use is published at once. One with blocks (`parallel`, `loop`, `call`, edges) is kept as a
        draft beside the version that runs, and the answer says where to `publish` it; `?publish=true` does both.
        """
        asked = bodies.asked(bodies.UpdateQuery, request)
        pipeline = self.get_object()
        document = bodies.document_in(request.data, current=document_of(pipeline) if kwargs.get("partial") else None)
        with told(), transaction.atomic():
            operations.update_document(pipeline=pipeline, document=document, by=self._by(), publishes=asked["publish"])
        return self._shown(pipeline)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete a pipeline that never ran; one that did is archived instead."""
        with told(), transaction.atomic():
            operations.delete_pipeline(pipeline=self.get_object(), by=self._by())
        return Response(status=204)

    @extend_schema(request=bodies.ActivateIn, responses=DETAIL)
    @action(detail=True, methods=["post"])
    def activate(self, request: Request, pk: str) -> Response:
        """Let the pipeline take in and move records; those that fit already enter only if asked to."""
        body = bodies.read(bodies.ActivateIn, request)
        pipeline = self.get_object()
        with told():
            operations.activate(pipeline=pipeline, by=self._by(), existing=body["enroll_existing"])
        return self._shown(pipeline)

    @extend_schema(responses=bodies.ExistingOut(many=True))
    @action(detail=True, methods=["get"])
    def existing(self, request: Request, pk: str) -> Response:
        """Who fits the triggers already: what `activate` with `enroll_existing` would take in."""
        refuse_unknown(request=request, known=set())
        return Response([bodies.existing_out(each) for each in operations.preview_existing(pipeline=self.get_object())])

    @extend_schema(request=None, responses=DETAIL)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Hold every run where it is and take in nobody."""
        pipeline = self.get_object()
        with told():
            operations.pause(pipeline=pipeline, by=self._by())
        return self._shown(pipeline)

    @extend_schema(request=bodies.ArchiveIn, responses=DETAIL)
    @action(detail=True, methods=["post"])
    def archive(self, request: Request, pk: str) -> Response:
        """End a pipeline for good; live runs are cancelled or finish, as asked."""
        body = bodies.read(bodies.ArchiveIn, request)
        pipeline = self.get_object()
        with told():
            operations.archive(pipeline=pipeline, runs=body["runs"], by=self._by())
        return self._shown(pipeline)

    @extend_schema(request=bodies.DuplicateIn, responses={201: DETAIL})
    @action(detail=True, methods=["post"])
    def duplicate(self, request: Request, pk: str) -> Response:
        """A draft with the same definition under another key."""
        body = bodies.read(bodies.DuplicateIn, request)
        with told():
            copy = operations.duplicate(pipeline=self.get_object(), by=self._by(), key=body["key"])
        return self._shown(copy, status=201)

    @extend_schema(request=bodies.EnrollIn, responses=bodies.EnrollOut)
    @action(detail=True, methods=["post"])
    def enroll(self, request: Request, pk: str) -> Response:
        """Put records in; who cannot enter is named with the reason. A `test` sends nothing, and is not counted."""
        body = bodies.read(bodies.EnrollIn, request)
        return self._enroll(body["subjects"], variables=body["variables"], payload=None, test=body["test"])

    @extend_schema(request=bodies.TriggerIn, responses=bodies.EnrollOut)
    @action(detail=True, methods=["post"])
    def trigger(self, request: Request, pk: str) -> Response:
        """Start one run by hand, with a payload that steps read as `trigger`; `test` as in `enroll`."""
        body = bodies.read(bodies.TriggerIn, request)
        return self._enroll([body["subject"]], variables=body["variables"], payload=body["payload"], test=body["test"])

    @extend_schema(request=None, responses=bodies.ProblemsOut)
    @action(detail=True, methods=["post"])
    def validate(self, request: Request, pk: str) -> Response:
        """Every problem of the definition as it stands."""
        pipeline = self.get_object()
        return Response(bodies.problems_out(operations.validate_document(document_of(pipeline), self.team)))

    @extend_schema(request=DOCUMENT, responses=bodies.ProblemsOut, operation_id="pipelines_validate_document")
    @action(detail=False, methods=["post"], url_path="validate")
    def validate_document(self, request: Request) -> Response:
        """Every problem of a document, without storing anything."""
        return Response(bodies.problems_out(operations.validate_document(translated(request.data), self.team)))

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=True, methods=["get"])
    def export(self, request: Request, pk: str) -> Response:
        """The definition document."""
        return Response(json.loads(operations.export_document(pipeline=self.get_object())))

    @extend_schema(responses=OpenApiResponse(response=bodies.MetricsOut))
    @action(detail=True, methods=["get"])
    def metrics(self, request: Request, pk: str) -> Response:
        """Runs by status and by step, successes, failures and times."""
        return Response(pipeline_metrics(pipeline=self.get_object(), now=engine_now()))

    @extend_schema(
        request=DOCUMENT,
        responses={201: DETAIL},
        parameters=[*(OpenApiParameter(name, bool) for name in ("activate", "replace", "force")), PUBLISH],
    )
    @action(detail=False, methods=["post"], url_path="import")
    def import_document(self, request: Request) -> Response:
        """Create the pipeline of a document, or bring it up to it; nothing is stored when it has problems.

        What a change does to one in use is what PUT says; `activate` publishes.
        """
        asked = bodies.asked(bodies.ImportQuery, request)
        asked["publishes"] = asked.pop("publish")
        with told(), transaction.atomic():
            pipeline = operations.import_document(
                team=self.team, document=bodies.document_in(request.data), by=self._by(), **asked
            )
        return self._shown(pipeline, status=201)

    def _enroll(self, subjects: list[int | None], *, variables: Any, payload: Any, test: bool) -> Response:
        pipeline = self.get_object()
        with told(), transaction.atomic():
            result = enroll(
                pipeline=pipeline, subject_ids=subjects, by=self._by(), payload=payload, variables=variables,
                test=test,
            )  # fmt: skip
            self.audit("tested" if test else "enrolled", pipeline, runs=len(result.enrolled))
        refused = [
            {"subject": subject, "reason": decision.label, "detail": why}
            for subject, (decision, why) in result.decisions.items()
        ]
        return Response({"runs": result.enrolled, "refused": refused})

    def _by(self) -> Any:
        user: Any = self.request.user
        if not getattr(user, "pk", None):
            return self.key
        user.acting_key = self.key
        return user

    def _shown(self, pipeline: Pipeline, *, status: int = 200) -> Response:
        row = self.get_queryset().get(pk=pipeline.pk)
        return Response(DETAIL(row, context=self.get_serializer_context()).data, status=status)
