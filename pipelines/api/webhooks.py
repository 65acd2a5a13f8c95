"""The resources `webhooks` and `webhook-deliveries`: addresses that are told of events, and what was told."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field, inline_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from crm.api.known_keys import KnownKeys
from crm.api.problems import Conflict
from crm.scoping import TeamScopedReadOnlyViewSet, TeamScopedSerializer, TeamScopedViewSet
from pipelines.api.shapes import AnyJson
from pipelines.engine.clock import engine_now
from pipelines.engine.outgoing.sending import send_test
from pipelines.models import Webhook, WebhookDelivery
from pipelines.operations.webhooks import make_webhook, replay, replay_since, rotate_secret, save_edited
from pipelines.triggers.heard import unknown_types


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class TypesField(AnyJson):
    """Names of events."""


class WebhookSerializer(TeamScopedSerializer):
    """An address; its secret is told once, in the answer to whoever makes it."""

    types = TypesField(required=False, help_text="Names of events; none means every event.")
    secret = serializers.SerializerMethodField(help_text="Only in the answer that made it.")

    class Meta:
        model = Webhook
        fields = (
            "id", "name", "url", "types", "enabled", "disabled_because", "failing_since", "last_success_at",
            "old_until", "secret", "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "disabled_because", "failing_since", "last_success_at", "old_until", "created_at")

    @extend_schema_field({"type": ["string", "null"]})
    def get_secret(self, webhook: Webhook) -> str | None:
        secret: str | None = webhook.__dict__.get("_secret")
        return secret

    def validate_types(self, value: Any) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ValidationError("Use a list of names of events.")
        wrong = unknown_types(self.context["view"].team, value)
        if wrong:
            raise ValidationError(wrong)
        return value

    def create(self, validated_data: dict[str, Any]) -> Webhook:
        wanted = {name: value for name, value in validated_data.items() if name != "created_by"}
        webhook, secret = make_webhook(by=validated_data["created_by"], **wanted)
        webhook.__dict__["_secret"] = secret
        return webhook

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Webhook:
        for name, value in validated_data.items():
            setattr(instance, name, value)
        save_edited(instance)
        changed: Webhook = instance
        return changed


REPLAYED = inline_serializer("WebhookReplayed", {"deliveries": serializers.IntegerField()})
TESTED = inline_serializer(
    "WebhookTested",
    {
        "accepted": serializers.BooleanField(),
        "status": serializers.IntegerField(allow_null=True),
        "answer": serializers.CharField(help_text="How the answer began, or why there is none."),
    },
)
SECRET = inline_serializer(
    "WebhookSecret", {"secret": serializers.CharField(), "old_until": serializers.DateTimeField()}
)


class SinceIn(KnownKeys):
    """From when on."""

    since = serializers.DateTimeField()


class WebhookViewSet(TeamScopedViewSet):
    """Addresses that are told of events by Standard Webhooks."""

    resource = "webhooks"
    verbs = {"rotate": "change", "test": "change", "replay": "change"}
    # A test speaks with the receiver, which is never done inside a transaction.
    post_in_one_transaction = False
    queryset = Webhook.objects.all()
    serializer_class = WebhookSerializer
    filter_fields = {"enabled": "enabled"}
    search_fields = ("name", "url")
    ordering_fields = ("name", "created_at")

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if "Idempotency-Key" in request.headers and self.action in ("create", "rotate"):
            raise ValidationError({"Idempotency-Key": ["Answers with a secret are not kept; leave the header out."]})
        super().initial(request, *args, **kwargs)

    def values_on_create(self) -> dict[str, Any]:
        user = self.request.user
        return {"created_by": user if getattr(user, "pk", None) else None}

    @extend_schema(request=None, responses=SECRET)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """A new secret, told this once; for 24 hours posts are signed with the old one too."""
        webhook = self.get_object()
        secret = rotate_secret(webhook=webhook, now=engine_now())
        self.audit("rotated", webhook)
        return Response({"secret": secret, "old_until": webhook.old_until})

    @extend_schema(request=None, responses=TESTED)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Post an example now, and say what came back."""
        webhook = self.get_object()
        answered = send_test(webhook)
        self.audit("tested", webhook)
        return Response({"accepted": answered.accepted, "status": answered.status, "answer": answered.sentence})

    @extend_schema(request=SinceIn, responses={202: REPLAYED})
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        """Post again, with their ids, what failed since a time and events of the inbox that it never got."""
        webhook = self.get_object()
        given = SinceIn(data=request.data)
        given.is_valid(raise_exception=True)
        count = replay_since(webhook=webhook, since=given.validated_data["since"], now=engine_now())
        self.audit("replayed", webhook, deliveries=count)
        return Response({"deliveries": count}, status=202)


class WebhookDeliverySerializer(TeamScopedSerializer):
    """One event for one address."""

    state = serializers.CharField(source="get_state_display", read_only=True)

    class Meta:
        model = WebhookDelivery
        fields = (
            "id", "webhook", "message_id", "type", "body", "state", "attempts", "due_at", "status", "answer", "at",
            "tried_at",
        )  # fmt: skip
        read_only_fields = fields


class WebhookDeliveryViewSet(TeamScopedReadOnlyViewSet):
    """What was told to which address, and what came back."""

    resource = "webhooks"
    verbs = {"replay": "change"}
    queryset = WebhookDelivery.objects.all()
    serializer_class = WebhookDeliverySerializer
    filter_fields = {"webhook": "webhook_id", "state": "state", "type": "type", "after": "at__gte", "before": "at__lt"}
    search_fields = ()
    ordering_fields = ("at",)

    @extend_schema(request=None, responses={202: WebhookDeliverySerializer})
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        """Post it again with its id and all tries anew."""
        delivery = self.get_object()
        if not replay(delivery=delivery, now=engine_now()):
            raise Conflict("This delivery still waits for its turn.")
        self.audit("replayed", delivery)
        delivery.refresh_from_db()
        return Response(self.get_serializer(delivery).data, status=202)
