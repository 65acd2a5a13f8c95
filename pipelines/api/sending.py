"""The resource `sending-rules`: when and how much the team sends; at most one row."""

from crm.scoping import TeamScopedSerializer, TeamScopedViewSet
from pipelines.api.shapes import AnyJson
from pipelines.models import SendingRules
from pipelines.models.sending import validate_caps, validate_holidays, validate_throttles, validate_window


class SendingRulesSerializer(TeamScopedSerializer):
    """`window` as in the settings of a pipeline, `caps` such as "2 per day", `throttles` by channel."""

    window = AnyJson(required=False, validators=[validate_window])
    holidays = AnyJson(required=False, validators=[validate_holidays])
    caps = AnyJson(required=False, validators=[validate_caps])
    throttles = AnyJson(required=False, validators=[validate_throttles])

    class Meta:
        model = SendingRules
        fields = ("id", "window", "holidays", "caps", "when_capped", "longest_wait_hours", "throttles", "updated_at")
        read_only_fields = ("id", "updated_at")


class SendingRulesViewSet(TeamScopedViewSet):
    """Sending rules."""

    resource = "sending-rules"
    queryset = SendingRules.objects.all()
    serializer_class = SendingRulesSerializer
    filter_fields = {}
    search_fields = ()
    ordering_fields = ("updated_at",)
