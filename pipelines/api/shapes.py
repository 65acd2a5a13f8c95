"""What the API shows of pipelines, versions, runs and decisions."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from crm.scoping import TeamScopedSerializer
from pipelines.documents import document_of
from pipelines.models import EnrollmentDecision, Pipeline, PipelineRun, PipelineVersion
from pipelines.operations.drafts import is_unpublished
from pipelines.personal import reasons_without_personal
from pipelines.queries import STATUS_GROUPS
from pipelines.states import RunStatus
from pipelines.story import StoryVisit
from pipelines.subjects import subject_label


@extend_schema_field({})
class AnyJson(serializers.JSONField):
    """Any JSON value, null included."""


def label_of(type_id: int | None, pipeline: Pipeline) -> str | None:
    """`contacts.contact` or `records.<type>` of what something of this pipeline is about."""
    return None if type_id is None else subject_label(type_id, pipeline.subject_record)


@extend_schema_field({"type": "string", "enum": [status.name.lower() for status in Pipeline.Status]})
class PipelineStatusField(serializers.Field[Any, Any, Any, Any]):
    """draft, active, paused or archived."""

    def to_representation(self, value: int) -> str:
        return Pipeline.Status(value).name.lower()


class PipelineSerializer(TeamScopedSerializer):
    """A pipeline in a list."""

    status = PipelineStatusField(read_only=True)
    subject = serializers.SerializerMethodField()
    version = serializers.IntegerField(source="current_version.number", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Pipeline
        fields: tuple[str, ...] = (
            "id", "key", "name", "description", "status", "subject", "version", "revision",
            "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field({"type": ["string", "null"]})
    def get_subject(self, pipeline: Pipeline) -> str | None:
        return label_of(pipeline.subject_type_id, pipeline)


class PipelineDetailSerializer(PipelineSerializer):
    """A pipeline with its definition document as the rows stand now."""

    unpublished_changes = serializers.SerializerMethodField()
    publish = serializers.SerializerMethodField()
    document = serializers.SerializerMethodField()

    class Meta(PipelineSerializer.Meta):
        fields: tuple[str, ...] = (*PipelineSerializer.Meta.fields, "unpublished_changes", "publish", "document")
        read_only_fields = fields

    def to_representation(self, pipeline: Pipeline) -> dict[str, Any]:
        self._document = document_of(pipeline)
        self._unpublished = is_unpublished(pipeline, self._document)
        return super().to_representation(pipeline)

    def get_unpublished_changes(self, pipeline: Pipeline) -> bool:
        """Whether runs follow something else than the document says."""
        return self._unpublished

    @extend_schema_field({"type": ["string", "null"], "format": "uri"})
    def get_publish(self, pipeline: Pipeline) -> str | None:
        """Where a POST publishes these changes, and with `?preview=1` tells what that does to runs on their way."""
        if not self._unpublished or pipeline.status == Pipeline.Status.ARCHIVED:
            return None
        return reverse("pipelines-publish", args=[pipeline.key], request=self.context.get("request"))

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_document(self, pipeline: Pipeline) -> dict[str, Any]:
        return self._document


class VersionSerializer(TeamScopedSerializer):
    """What was published, when and by whom."""

    class Meta:
        model = PipelineVersion
        fields: tuple[str, ...] = ("number", "note", "checksum", "published_at", "document")
        read_only_fields = fields


SUBJECT = {
    "type": ["object", "null"],
    "properties": {"type": {"type": "string"}, "id": {"type": "integer"}},
}


class RunSerializer(TeamScopedSerializer):
    """A run: where it stands, what comes next and when."""

    pipeline = serializers.CharField(source="pipeline.key", read_only=True)
    pipeline_id = serializers.IntegerField(read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True)
    subject = serializers.SerializerMethodField()
    status = serializers.SerializerMethodField()
    status_group = serializers.SerializerMethodField()
    current_step = serializers.SerializerMethodField()
    next_step = serializers.SerializerMethodField()
    next_step_at = serializers.SerializerMethodField()

    class Meta:
        model = PipelineRun
        fields: tuple[str, ...] = (
            "id", "pipeline", "pipeline_id", "version", "subject", "status", "status_group", "current_step",
            "next_step", "next_step_at", "attempt", "seq", "outcome", "reason", "created_at", "finished_at",
            "test", "parent", "root",
        )  # fmt: skip
        read_only_fields = fields
        extra_kwargs = {
            "parent": {
                "help_text": "Of a branch, a round or a called pipeline the run it is a part of; null of a whole run."
            },
            "root": {"help_text": "The whole run around it, however deep inside it is; null of a whole run."},
        }

    @extend_schema_field(SUBJECT)
    def get_subject(self, run: PipelineRun) -> dict[str, Any] | None:
        return (
            None
            if run.subject_id is None
            else {"type": label_of(run.subject_type_id, run.pipeline), "id": run.subject_id}
        )

    @extend_schema_field({"type": "string", "enum": [status.name.lower() for status in RunStatus]})
    def get_status(self, run: PipelineRun) -> str:
        return RunStatus(run.status).name.lower()

    @extend_schema_field({"type": "string"})
    def get_status_group(self, run: PipelineRun) -> str:
        return STATUS_GROUPS[run.status]

    @extend_schema_field({"type": ["string", "null"]})
    def get_current_step(self, run: PipelineRun) -> str | None:
        step = run.last_step if run.status == RunStatus.PENDING else run.step
        return step.key if step else None

    @extend_schema_field({"type": ["string", "null"]})
    def get_next_step(self, run: PipelineRun) -> str | None:
        return run.step.key if run.status == RunStatus.PENDING and run.step else None

    @extend_schema_field({"type": ["string", "null"], "format": "date-time"})
    def get_next_step_at(self, run: PipelineRun) -> str | None:
        due = run.held_until if run.status == RunStatus.PAUSED else run.next_step_at
        if due is None or run.status == RunStatus.RUNNING:
            return None
        return due.isoformat().replace("+00:00", "Z")


class VisitSerializer(serializers.Serializer[StoryVisit]):
    """One line of the log: what happened at which step, and why, in the run itself or inside its blocks."""

    id = serializers.IntegerField()
    run = serializers.IntegerField(source="run_id", help_text="The run itself, or the one inside it that did this.")
    branch = serializers.CharField(
        help_text='Where inside the run it was: "fork.left" for a branch, "each.2" for the third round of a loop, the '
        'key of a called pipeline, and "fork.left/each.2" for what is inside that. Empty for the run\'s own.'
    )
    at = serializers.DateTimeField()
    started_at = serializers.DateTimeField()
    seq = serializers.IntegerField()
    attempt = serializers.IntegerField()
    step = serializers.CharField(source="step_key")
    name = serializers.CharField(source="step_name")
    action = serializers.CharField(source="action_type")
    event = serializers.CharField()
    outcome = serializers.CharField(allow_null=True)
    why = AnyJson(allow_null=True)
    output = AnyJson(allow_null=True)
    error = serializers.CharField(allow_null=True)


class DecisionSerializer(TeamScopedSerializer):
    """Why a record, or an occasion that is about none, did not enter a pipeline."""

    pipeline = serializers.CharField(source="pipeline.key", read_only=True)
    trigger = serializers.CharField(source="trigger_key", read_only=True, allow_null=True)
    event = serializers.IntegerField(source="event_id", read_only=True, allow_null=True)
    subject = serializers.SerializerMethodField()
    decision = serializers.SerializerMethodField()
    why = serializers.SerializerMethodField()

    class Meta:
        model = EnrollmentDecision
        fields: tuple[str, ...] = (
            "id", "at", "pipeline", "trigger", "event", "subject", "decision", "why", "settled",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(SUBJECT)
    def get_subject(self, row: EnrollmentDecision) -> Mapping[str, Any] | None:
        return (
            None
            if row.subject_id is None
            else {"type": label_of(row.subject_type_id, row.pipeline), "id": row.subject_id}
        )

    @extend_schema_field({"type": "string"})
    def get_decision(self, row: EnrollmentDecision) -> str:
        return row.get_decision_display()

    @extend_schema_field({"type": ["array", "null"], "items": {"type": "object", "additionalProperties": {}}})
    def get_why(self, row: EnrollmentDecision) -> list[Any] | None:
        return reasons_without_personal(row.why, names=self.context.get("personal", frozenset())) if row.why else None
