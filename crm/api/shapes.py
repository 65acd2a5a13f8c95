"""What the API shows and accepts of the ground floor."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from crm.api.known_keys import KnownKeys
from crm.models import ApiKey, Member, Message, MessageEvent, MessageTemplate, Suppression, Task, Team
from crm.scoping import SubjectField, TeamScopedSerializer
from crm.scoping.api import team_of_context
from crm.tasks import follow_status
from crm.template_checks import template_warnings
from crm.topics import unknown_topics
from crm.work import TaskForm, form_slot

_FORM_SCHEMA: Final = {
    "type": ["array", "null"],
    "description": "The fields to answer, null for a task without a form.",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"}, "type": {"type": "string"}, "label": {"type": "string"},
            "required": {"type": "boolean"}, "help": {"type": "string"}, "options": {"type": "array", "items": {}},
        },
    },
}  # fmt: skip


class TeamSerializer(TeamScopedSerializer):
    """The team of the key."""

    class Meta:
        model = Team
        fields = (
            "id", "name", "slug", "timezone", "sender_name", "sender_email", "reply_to", "postal_address",
            "mail_layout", "track_opens", "track_clicks", "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "slug", "created_at")


class MemberSerializer(TeamScopedSerializer):
    """Somebody who belongs to the team."""

    email = serializers.CharField(source="user.email", read_only=True)
    name = serializers.CharField(source="user.get_full_name", read_only=True)

    class Meta:
        model = Member
        fields = ("id", "user", "email", "name", "role", "groups", "manager", "created_at")
        read_only_fields = fields


class ApiKeySerializer(TeamScopedSerializer):
    """A key, without anything one could use it by."""

    class Meta:
        model = ApiKey
        fields = ("id", "name", "role", "scopes", "prefix", "expires_at", "last_used_at", "revoked_at", "created_at")
        read_only_fields = fields


class TaskSerializer(TeamScopedSerializer):
    """A task, possibly about a record."""

    subject = SubjectField(required=False, allow_null=True)
    form = serializers.SerializerMethodField()
    outcomes = serializers.SerializerMethodField()
    group = serializers.SerializerMethodField()
    answer = serializers.SerializerMethodField()

    class Meta:
        model = Task
        fields = (
            "id", "title", "description", "assignee", "due_at", "priority", "status", "subject", "run_id", "form",
            "outcomes", "group", "answer", "created_at", "completed_at",
        )  # fmt: skip
        read_only_fields = ("id", "run_id", "created_at", "completed_at")

    @extend_schema_field(_FORM_SCHEMA)
    def get_form(self, task: Task) -> Sequence[Mapping[str, Any]] | None:
        form = self._form(task)
        return form.fields if form else None

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_outcomes(self, task: Task) -> Sequence[str]:
        form = self._form(task)
        return form.outcomes if form else []

    @extend_schema_field({"type": "string"})
    def get_group(self, task: Task) -> str:
        form = self._form(task)
        return form.group if form else ""

    @extend_schema_field({"type": ["object", "null"]})
    def get_answer(self, task: Task) -> Mapping[str, Any] | None:
        form = self._form(task)
        return form.values if form and form.status == "completed" else None

    def _form(self, task: Task) -> TaskForm | None:
        """The form of a task; a list reads those of a whole page at once."""
        context: Any = self.context
        known: dict[int, TaskForm | None] = context.setdefault("forms", {})
        if task.pk not in known:
            page = self.parent.instance if isinstance(self.parent, serializers.ListSerializer) else None
            tasks = page if isinstance(page, list) else [task]
            found = form_slot.forms(tasks)
            known.update({each.pk: found.get(each.pk) for each in tasks})
        return known.get(task.pk)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        task = self.instance
        if task is None or not {"status", "assignee"} & {n for n, value in attrs.items() if getattr(task, n) != value}:
            return attrs
        form = form_slot.form(task)
        if form is not None and attrs.get("status", task.status) != task.status:
            words = "Answer its form with POST /complete/." if form.address else "It was answered or called off."
            raise serializers.ValidationError({"status": f"A pipeline decides what becomes of this task. {words}"})
        if form is not None and form.address and attrs.get("assignee", task.assignee) != task.assignee:
            raise serializers.ValidationError({"assignee": "Hand this task over with POST /reassign/."})
        return attrs

    def validate_assignee(self, user: Any) -> Any:
        team = self.context["request"].auth.team
        if user is not None and not Member.objects.filter(team=team, user=user).exists():
            raise serializers.ValidationError(f'Invalid pk "{user.pk}" - object does not exist.')
        return user

    def create(self, validated_data: Any) -> Task:
        task = Task(**validated_data)
        follow_status(task=task, now=timezone.now())
        task.save()
        return task

    def update(self, instance: Task, validated_data: Any) -> Task:
        for name, value in validated_data.items():
            setattr(instance, name, value)
        follow_status(task=instance, now=timezone.now())
        instance.save()
        return instance


class CompletionIn(KnownKeys):
    """What finishes a task: for one with a form the answers, and which of its outcomes."""

    outcome = serializers.CharField(required=False, allow_blank=True, max_length=40, default="")
    values = serializers.DictField(required=False, default=dict)


class ReassignmentIn(KnownKeys):
    """Who has a task from now on; null gives it back."""

    assignee = serializers.IntegerField(allow_null=True, min_value=1, max_value=2**63 - 1)


class MessageSerializer(TeamScopedSerializer):
    """What was sent, or is about to be."""

    about = SubjectField(prefix="about", read_only=True)

    class Meta:
        model = Message
        fields = (
            "id", "channel", "state", "reason", "recipient", "sender", "subject", "text", "html", "topic", "message_id",
            "about", "run_id", "error", "attempts", "created_at", "sent_at", "decided_at", "held_until", "held_by",
        )  # fmt: skip
        read_only_fields = fields


class MessageEventSerializer(TeamScopedSerializer):
    """What became of a message: opened, or a link of it followed."""

    class Meta:
        model = MessageEvent
        fields = ("id", "message", "kind", "url", "text", "likely_human", "reason", "count", "at", "last_at")
        read_only_fields = fields


class TemplateSerializer(TeamScopedSerializer):
    """A message written once."""

    class Meta:
        model = MessageTemplate
        fields: tuple[str, ...] = ("id", "key", "name", "subject", "text", "html", "topic", "use_layout", "updated_at")
        read_only_fields = ("id", "updated_at")

    def validate_topic(self, value: str) -> str:
        if unknown_topics(team_of_context(self.context), {value}):
            raise serializers.ValidationError(f"This team has no topic '{value}': make it first, at topics/.")
        return value


class OneTemplateSerializer(TemplateSerializer):
    """One template, with what is likely to go wrong in the pipelines that send it."""

    warnings = serializers.SerializerMethodField()

    class Meta(TemplateSerializer.Meta):
        fields = (*TemplateSerializer.Meta.fields, "warnings")

    def get_warnings(self, template: MessageTemplate) -> list[str]:
        return template_warnings(template)


class SuppressionSerializer(TeamScopedSerializer):
    """An address nothing may be sent to."""

    class Meta:
        model = Suppression
        fields = ("id", "address", "topic", "reason", "source", "created_at")
        read_only_fields = ("id", "created_at")

    def validate_address(self, value: str) -> str:
        return value.strip().lower()
