"""The resource `hook-deliveries`: what was posted to incoming webhooks, and what came of it."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm.api.problems import Conflict
from crm.scoping import TeamScopedReadOnlyViewSet, TeamScopedSerializer
from pipelines.models import HookDelivery
from pipelines.triggers.hooks import take_in_again


class HookDeliverySerializer(TeamScopedSerializer):
    """One post that was accepted."""

    state = serializers.CharField(source="get_state_display", read_only=True)

    class Meta:
        model = HookDelivery
        fields = ("id", "hook", "message_id", "body", "state", "outcome", "run_id", "at", "finished_at")
        read_only_fields = fields


class HookDeliveryViewSet(TeamScopedReadOnlyViewSet):
    """What was posted to which incoming webhook, and what came of it."""

    resource = "hooks"
    verbs = {"take_in": "take_in"}
    queryset = HookDelivery.objects.all()
    serializer_class = HookDeliverySerializer
    filter_fields = {"hook": "hook_id", "state": "state", "after": "at__gte", "before": "at__lt"}
    search_fields = ()
    ordering_fields = ("at",)

    @extend_schema(request=None, responses={202: HookDeliverySerializer})
    @action(detail=True, methods=["post"], url_path="take-in")
    def take_in(self, request: Request, pk: str) -> Response:
        """Take a failed post in again with the next pass, from what was stored; its contact and its run come once."""
        delivery = self.get_object()
        if not take_in_again(delivery=delivery):
            raise Conflict("Only a post that failed can be taken in again.")
        self.audit("taken_in_again", delivery)
        delivery.refresh_from_db()
        return Response(self.get_serializer(delivery).data, status=202)
