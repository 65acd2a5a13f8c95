"""The resources `topics`, `subscriptions` and `consents`: what one may choose, who chose, and the history of it."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from crm.api.known_keys import KnownKeys
from crm.channels.email import valid_address
from crm.consent import Act, subscribe, unsubscribe
from crm.models import ConsentEntry, Subscription, Topic
from crm.scoping import TeamScopedReadOnlyViewSet, TeamScopedSerializer, TeamScopedViewSet


class TopicSerializer(TeamScopedSerializer):
    """Something people may choose to get."""

    class Meta:
        model = Topic
        fields = (
            "id", "key", "name", "description", "default_on", "shown", "confirm", "confirm_subject", "confirm_text",
            "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "created_at")

    def validate_key(self, key: str) -> str:
        if self.instance is not None and key != self.instance.key:
            raise ValidationError("Messages and subscriptions name the key, so it stays.")
        return key


class TopicViewSet(TeamScopedViewSet):
    """Topics of the team."""

    resource = "topics"
    queryset = Topic.objects.all()
    serializer_class = TopicSerializer
    filter_fields = {"key": "key", "shown": "shown", "confirm": "confirm"}
    search_fields = ("key", "name")
    ordering_fields = ("key", "name")


class SubscriptionSerializer(TeamScopedSerializer):
    """An address that wants a topic, or is still asked whether it does."""

    class Meta:
        model = Subscription
        fields = ("id", "address", "topic", "state", "wording", "asked_at", "confirmed_at")
        read_only_fields = fields


class SubscriptionIn(KnownKeys):
    """Who wants what, how that was told, and what they read when they agreed."""

    address = serializers.CharField(max_length=254)
    topic = serializers.CharField(max_length=60, help_text="The key of a topic.")
    how = serializers.CharField(max_length=60, default="API", help_text="Such as signup form.")
    wording = serializers.CharField(max_length=5_000, default="", allow_blank=True)

    def validate_address(self, value: str) -> str:
        if not valid_address(value.strip()):
            raise ValidationError("Enter one email address.")
        return value.strip().lower()


class SubscriptionViewSet(TeamScopedViewSet):
    """Who subscribed. A topic that asks for confirmation keeps them `pending` until they confirm."""

    resource = "subscriptions"
    http_method_names = ["get", "post", "delete", "head"]
    queryset = Subscription.objects.all()
    serializer_class = SubscriptionSerializer
    filter_fields = {"address": "address__iexact", "topic": "topic", "state": "state"}
    search_fields = ("address",)
    ordering_fields = ("asked_at",)

    @extend_schema(request=SubscriptionIn, responses={201: SubscriptionSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Subscribe an address; where the topic asks for confirmation a mail leaves, at most three in a week."""
        given = SubscriptionIn(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        topic = Topic.objects.filter(team=self.team, key=said["topic"]).first()
        if topic is None:
            raise ValidationError({"topic": [f"There is no topic '{said['topic'][:60]}' in this team."]})
        act = self._act(said["how"], said["wording"] or topic.wording)
        subscribe(team_id=self.team.pk, address=said["address"], topic=topic.key, act=act)
        row = Subscription.objects.get(team=self.team, address=said["address"], topic=topic.key)
        self.audit("added", row)
        return Response(self.get_serializer(row).data, status=201)

    def perform_destroy(self, instance: Subscription) -> None:
        """Unsubscribe: the address gets nothing of the topic any more."""
        self.audit("deleted", instance)
        unsubscribe(team_id=self.team.pk, address=instance.address, topic=instance.topic, act=self._act("API", ""))

    def _act(self, how: str, wording: str) -> Act:
        return Act(timezone.now(), how, who=f"key {self.key.name}", wording=wording)


class ConsentSerializer(TeamScopedSerializer):
    """One choice: who, when, how, and in which words."""

    class Meta:
        model = ConsentEntry
        fields = ("id", "address", "topic", "kind", "at", "how", "who", "wording")
        read_only_fields = fields


class ConsentViewSet(TeamScopedReadOnlyViewSet):
    """The history of choices, which nobody can change."""

    resource = "consents"
    queryset = ConsentEntry.objects.all()
    serializer_class = ConsentSerializer
    filter_fields = {
        "address": "address__iexact", "topic": "topic", "kind": "kind", "after": "at__gte", "before": "at__lt",
    }  # fmt: skip
    search_fields = ("address",)
    ordering_fields = ("at",)
