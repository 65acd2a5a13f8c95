"""Resources of the ground floor."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from crm.api import shapes
from crm.api.problems import Conflict
from crm.keys import revoke_keys
from crm.messages import Decision, decide_message
from crm.models import ApiKey, Member, Message, MessageEvent, MessageTemplate, Suppression, Task, Team
from crm.scoping import TeamScopedReadOnlyViewSet, TeamScopedViewSet
from crm.tasks import overdue
from crm.work import (
    AnswersRefused,
    NotYourTask,
    TaskClosed,
    Worker,
    claim_task,
    finish_task,
    reassign_task,
    worker_of_member,
)

READ_AND_CHANGE = ["get", "put", "patch", "head"]
ADD_AND_DELETE = ["get", "post", "delete", "head"]


class TeamViewSet(TeamScopedViewSet):
    """The team of the key, and its settings."""

    resource = "teams"
    http_method_names = READ_AND_CHANGE
    queryset = Team.objects.all()
    serializer_class = shapes.TeamSerializer
    filter_fields = {"slug": "slug"}
    search_fields = ()
    ordering_fields = ("name",)


class MemberViewSet(TeamScopedReadOnlyViewSet):
    """Who belongs to the team. People are added and given roles in the admin, by people."""

    resource = "members"
    queryset = Member.objects.select_related("user")
    serializer_class = shapes.MemberSerializer
    filter_fields = {"role": "role", "user": "user", "manager": "manager"}
    search_fields = ("user__email", "user__first_name", "user__last_name")
    ordering_fields = ("created_at",)


class ApiKeyViewSet(TeamScopedReadOnlyViewSet):
    """Keys of the team. A key can make no keys: that takes a person, in the admin or at the command line."""

    resource = "api-keys"
    verbs = {"revoke": "delete"}
    queryset = ApiKey.objects.all()
    serializer_class = shapes.ApiKeySerializer
    filter_fields = {"role": "role", "prefix": "prefix"}
    search_fields = ("name",)
    ordering_fields = ("created_at", "last_used_at")

    @extend_schema(request=None, responses=shapes.ApiKeySerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """End a key at once and for good."""
        key = self.get_object()
        if not revoke_keys(keys=ApiKey.objects.filter(pk=key.pk), now=timezone.now()):
            raise Conflict("This key was revoked before.")
        self.audit("revoked", key)
        key.refresh_from_db()
        return Response(self.get_serializer(key).data)


def by_contact(column: str) -> Any:
    """Narrow by the contact a row is about."""

    def narrow(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise ValidationError({"contact": ["Use the id of a contact."]})
        kind = ContentType.objects.filter(app_label="contacts", model="contact").first()
        return rows.filter(**{f"{column}_type": kind, f"{column}_id": int(text)})

    return narrow


def by_overdue(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """`overdue=true`: open tasks whose time has come."""
    if text.lower() not in ("true", "1", "false", "0"):
        raise ValidationError({"overdue": ["Use true or false."]})
    late = overdue(Task.objects.all(), timezone.now())
    return rows.filter(pk__in=late) if text.lower() in ("true", "1") else rows.exclude(pk__in=late)


class TaskViewSet(TeamScopedViewSet):
    """Tasks of the team."""

    resource = "tasks"
    verbs = {"claim": "change", "complete": "change", "reassign": "change"}
    queryset = Task.objects.select_related("assignee")
    serializer_class = shapes.TaskSerializer
    filter_fields = {
        "status": "status", "priority": "priority", "assignee": "assignee", "overdue": by_overdue,
        "contact": by_contact("subject"), "run": "run_id", "due_before": "due_at__lt", "due_after": "due_at__gte",
    }  # fmt: skip
    search_fields = ("title", "description")
    ordering_fields = ("due_at", "created_at", "priority")

    def values_on_create(self) -> dict[str, Any]:
        user = self.request.user
        return {"created_by": user if getattr(user, "pk", None) else None}

    @extend_schema(request=None, responses=shapes.TaskSerializer)
    @action(detail=True, methods=["post"])
    def claim(self, request: Request, pk: str) -> Response:
        """Put an open task on the list of the key's owner."""
        return self._work("claimed", lambda task, worker, now: claim_task(task=task, worker=worker, now=now))

    @extend_schema(request=shapes.CompletionIn, responses=shapes.TaskSerializer)
    @action(detail=True, methods=["post"])
    def complete(self, request: Request, pk: str) -> Response:
        """Mark a task done; one with a form takes its answers, and whoever waits goes on at once."""
        given = _read(shapes.CompletionIn, request)
        return self._work(
            "completed",
            lambda task, worker, now: finish_task(
                task=task, worker=worker, outcome=given["outcome"], values=given["values"], now=now
            ),
        )

    @extend_schema(request=shapes.ReassignmentIn, responses=shapes.TaskSerializer)
    @action(detail=True, methods=["post"])
    def reassign(self, request: Request, pk: str) -> Response:
        """Hand an open task to another member, or back to nobody; links that were mailed stop working."""
        user_id = _read(shapes.ReassignmentIn, request)["assignee"]
        return self._work(
            "reassigned",
            lambda task, worker, now: reassign_task(task=task, worker=worker, user_id=user_id, now=now),
        )

    def _work(self, verb: str, deed: Callable[[Task, Worker, datetime], object]) -> Response:
        with transaction.atomic():
            task = self.get_object()
            try:
                deed(task, _worker(self.key), timezone.now())
            except TaskClosed as refused:
                raise Conflict(str(refused)) from refused
            except NotYourTask as refused:
                raise PermissionDenied(str(refused)) from refused
            except AnswersRefused as refused:
                raise ValidationError(_placed(refused)) from refused
            self.audit(verb, task)
        return Response(self.get_serializer(self.get_queryset().get(pk=task.pk)).data)


def _read(shape: type[Serializer[Any]], request: Request) -> Any:
    given = shape(data=request.data)
    given.is_valid(raise_exception=True)
    return given.validated_data


def _worker(key: ApiKey) -> Worker:
    """A key works as its owner, with the role of the key; one of nobody works for itself."""
    if key.created_by is None:
        return Worker(role=key.role, label=f"key {key.name}")
    person = worker_of_member(user=key.created_by, team=key.team)
    return replace(person, role=key.role)


def _placed(refused: AnswersRefused) -> dict[str, Any]:
    """Where each sentence stands in the body that was sent."""
    top = {name: [text] for name, text in refused.errors.items() if name in ("outcome", "assignee")}
    inside = {name: [text] for name, text in refused.errors.items() if name not in top}
    return {**top, "values": inside} if inside else dict(top)


def by_undecided(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """`undecided=true`: uncertain messages that wait for a person."""
    if text.lower() not in ("true", "1", "false", "0"):
        raise ValidationError({"undecided": ["Use true or false."]})
    waiting = Q(state=Message.State.UNCERTAIN, decided_at__isnull=True)
    return rows.filter(waiting) if text.lower() in ("true", "1") else rows.exclude(waiting)


class MessageViewSet(TeamScopedReadOnlyViewSet):
    """Messages: what was sent to whom, and those whose fate a person decides."""

    resource = "messages"
    verbs = {"accept": "decide", "resend": "decide"}
    queryset = Message.objects.all()
    serializer_class = shapes.MessageSerializer
    filter_fields = {
        "state": "state", "channel": "channel", "recipient": "recipient__iexact", "run": "run_id", "topic": "topic",
        "contact": by_contact("about"), "undecided": by_undecided, "sent_after": "sent_at__gte",
        "sent_before": "sent_at__lt",
    }  # fmt: skip
    search_fields = ("subject", "recipient")
    ordering_fields = ("created_at", "sent_at")

    @extend_schema(request=None, responses=shapes.MessageSerializer)
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: str) -> Response:
        """Count an uncertain message as settled, without sending it again."""
        return self._decide("accept")

    @extend_schema(request=None, responses=shapes.MessageSerializer)
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, pk: str) -> Response:
        """Send an uncertain message again; it may then arrive twice."""
        return self._decide("resend")

    def _decide(self, decision: Decision) -> Response:
        with transaction.atomic():
            message = self.get_object()
            if not decide_message(message=message, decision=decision, user=self.request.user, now=timezone.now()):
                raise Conflict("Only an uncertain message that nobody has settled yet can be decided.")
            self.audit(decision, message)
        message.refresh_from_db()
        return Response(self.get_serializer(message).data)


class MessageEventViewSet(TeamScopedReadOnlyViewSet):
    """Opens and clicks of messages, with what speaks against a person."""

    resource = "messages"
    queryset = MessageEvent.objects.all()
    serializer_class = shapes.MessageEventSerializer
    filter_fields = {"message": "message_id", "kind": "kind", "likely_human": "likely_human"}
    search_fields = ()
    ordering_fields = ("at",)


class TemplateViewSet(TeamScopedViewSet):
    """Message templates."""

    resource = "templates"
    queryset = MessageTemplate.objects.all()
    serializer_class = shapes.TemplateSerializer
    filter_fields = {"key": "key", "topic": "topic"}
    search_fields = ("name", "key", "subject")
    ordering_fields = ("name", "key", "updated_at")

    def get_serializer_class(self) -> Any:
        return shapes.TemplateSerializer if self.action == "list" else shapes.OneTemplateSerializer


class SuppressionViewSet(TeamScopedViewSet):
    """Addresses nothing may be sent to."""

    resource = "suppressions"
    http_method_names = ADD_AND_DELETE
    queryset = Suppression.objects.all()
    serializer_class = shapes.SuppressionSerializer
    filter_fields = {"address": "address__iexact", "topic": "topic", "reason": "reason"}
    search_fields = ("address",)
    ordering_fields = ("created_at", "address")
