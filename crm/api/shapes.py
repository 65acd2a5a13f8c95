"""What the API shows and accepts of the ground floor."""

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from crm.models import ApiKey, Member, Message, MessageTemplate, Suppression, Task, Team
from crm.scoping import SubjectField, TeamScopedSerializer
from crm.tasks import follow_status


class TeamSerializer(TeamScopedSerializer):
    """The team of the key."""

    class Meta:
        model = Team
        fields = (
            "id", "name", "slug", "timezone", "sender_name", "sender_email", "reply_to", "postal_address", "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "slug", "created_at")


class MemberSerializer(TeamScopedSerializer):
    """Somebody who belongs to the team."""

    email = serializers.CharField(source="user.email", read_only=True)
    name = serializers.CharField(source="user.get_full_name", read_only=True)

    class Meta:
        model = Member
        fields = ("id", "user", "email", "name", "role", "created_at")
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

    class Meta:
        model = Task
        fields = (
            "id", "title", "description", "assignee", "due_at", "priority", "status", "subject", "run_id", "created_at",
            "completed_at",
        )  # fmt: skip
        read_only_fields = ("id", "run_id", "created_at", "completed_at")

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


class MessageSerializer(TeamScopedSerializer):
    """What was sent, or is about to be."""

    about = SubjectField(prefix="about", read_only=True)

    class Meta:
        model = Message
        fields = (
            "id", "channel", "state", "reason", "recipient", "sender", "subject", "text", "html", "topic", "message_id",
            "about", "run_id", "error", "attempts", "created_at", "sent_at", "decided_at",
        )  # fmt: skip
        read_only_fields = fields


class TemplateSerializer(TeamScopedSerializer):
    """A message written once."""

    class Meta:
        model = MessageTemplate
        fields = ("id", "key", "name", "subject", "text", "html", "topic", "updated_at")
        read_only_fields = ("id", "updated_at")


class SuppressionSerializer(TeamScopedSerializer):
    """An address nothing may be sent to."""

    class Meta:
        model = Suppression
        fields = ("id", "address", "topic", "reason", "source", "created_at")
        read_only_fields = ("id", "created_at")

    def validate_address(self, value: str) -> str:
        return value.strip().lower()
