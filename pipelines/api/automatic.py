"""The resource `automatic-pipelines`: which records enter which pipeline by themselves."""

from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from crm.api.known_keys import KnownKeys
from crm.scoping import TeamScopedSerializer, TeamScopedViewSet
from pipelines.api.errors import told
from pipelines.api.lookup import filter_by_pipeline, pipeline_of_team
from pipelines.api.shapes import AnyJson, label_of
from pipelines.documents import trigger_values
from pipelines.models import AutomaticPipeline
from pipelines.operations import triggers as operations


class AutomaticSerializer(TeamScopedSerializer):
    """One way in: every new record of a model that meets the conditions."""

    pipeline = serializers.CharField(source="pipeline.key")
    model = serializers.SerializerMethodField()
    conditions = AnyJson(source="where", required=False, allow_null=True)
    reentry = AnyJson(required=False, allow_null=True)
    enabled = serializers.BooleanField(required=False, default=True)

    class Meta:
        model = AutomaticPipeline
        fields = ("id", "pipeline", "key", "model", "conditions", "reentry", "enabled", "created_at")
        read_only_fields = ("id", "key", "model", "created_at")

    @extend_schema_field({"type": ["string", "null"]})
    def get_model(self, trigger: AutomaticPipeline) -> str | None:
        return label_of(trigger.model_id, trigger.pipeline)


class AutomaticIn(KnownKeys):
    """A pipeline by key or id, and the conditions under which records enter."""

    pipeline = serializers.CharField(max_length=40, required=False)
    conditions = AnyJson(required=False, allow_null=True)
    reentry = AnyJson(required=False, allow_null=True)
    enabled = serializers.BooleanField(required=False)


class AutomaticViewSet(TeamScopedViewSet):
    """Automatic pipelines."""

    resource = "automatic-pipelines"
    queryset = AutomaticPipeline.objects.select_related("pipeline")
    serializer_class = AutomaticSerializer
    filter_fields = {"pipeline": filter_by_pipeline, "enabled": "enabled"}
    search_fields = ()
    ordering_fields = ("created_at",)

    @extend_schema(request=AutomaticIn, responses={201: AutomaticSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Let new records enter a pipeline by themselves."""
        body = self._body(request)
        if "pipeline" not in body:
            raise serializers.ValidationError({"pipeline": ["This field is required."]})
        pipeline = pipeline_of_team(team=self.team, name=body.pop("pipeline"))
        model = label_of(pipeline.subject_type_id, pipeline)
        if model is None:
            raise serializers.ValidationError({"pipeline": ["This pipeline is not about records."]})
        values = {"type": "created", "automatic": True, "model": model, **body}
        with told(below=f"triggers[{pipeline.triggers.count()}]"), transaction.atomic():
            trigger = operations.add_trigger(pipeline=pipeline, values=values, by=self._by())
        return Response(self._shown(trigger.pk), status=201)

    @extend_schema(request=AutomaticIn, responses=AutomaticSerializer)
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change the conditions, or switch it on or off; the pipeline stays."""
        trigger = self.get_object()
        body = self._body(request)
        if "pipeline" in body and pipeline_of_team(team=self.team, name=body.pop("pipeline")).pk != trigger.pipeline_id:
            raise serializers.ValidationError({"pipeline": ["Delete this one and add one to the other pipeline."]})
        kept = trigger_values(trigger) if kwargs.get("partial") else {}
        base = {
            "type": "created",
            "automatic": True,
            "model": label_of(trigger.model_id, trigger.pipeline),
            "key": trigger.key or None,
        }
        values = {name: value for name, value in {**kept, **base, **body}.items() if value is not None}
        with told(below=f"triggers[{operations.place_of(trigger)}]"), transaction.atomic():
            operations.change_trigger(trigger=trigger, values=values, by=self._by())
        return Response(self._shown(trigger.pk))

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Nobody enters this way any more; runs that began go on."""
        with told(), transaction.atomic():
            operations.remove_trigger(trigger=self.get_object(), by=self._by())
        return Response(status=204)

    def _body(self, request: Request) -> dict[str, Any]:
        body = AutomaticIn(data=request.data)
        body.is_valid(raise_exception=True)
        values = dict(body.validated_data)
        if "conditions" in values:
            values["where"] = values.pop("conditions")
        return values

    def _shown(self, pk: int) -> Any:
        return AutomaticSerializer(self.get_queryset().get(pk=pk), context=self.get_serializer_context()).data

    def _by(self) -> Any:
        user: Any = self.request.user
        if not getattr(user, "pk", None):
            return self.key
        user.acting_key = self.key
        return user
