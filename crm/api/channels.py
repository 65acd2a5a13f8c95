"""Resources of channels: providers of a team with a test that sends, devices, and who agreed to what."""

from typing import Any

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from crm.api.known_keys import KnownKeys
from crm.channels.providers import PROVIDERS
from crm.devices import BadDevice, Lost, forget, register_device
from crm.integrations import WrongSettings, browser_key, keep_settings, masked, reports_url, troubles_of
from crm.models import Device, Integration, OptIn
from crm.opt_in import WrongAddress, said_address, say
from crm.scoping import SubjectField, TeamScopedSerializer, TeamScopedViewSet
from crm.scoping.api import team_of_context
from crm.trying import TESTABLE, try_channel

_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}


@extend_schema_field(_TEXTS)
class Texts(serializers.DictField):
    """An object of texts."""

    child = serializers.CharField(allow_blank=True, max_length=20_000, trim_whitespace=True)


class IntegrationSerializer(TeamScopedSerializer):
    """One provider. `options` may be read, `secrets` only written: one that is left out or empty stays."""

    channel = serializers.SerializerMethodField()
    options = Texts(required=False)
    secrets = Texts(required=False, write_only=True)
    secrets_set = serializers.SerializerMethodField()
    reports_url = serializers.SerializerMethodField()
    browser_key = serializers.SerializerMethodField()
    trouble = serializers.SerializerMethodField(help_text="What keeps its messages waiting, empty when nothing does.")

    class Meta:
        model = Integration
        fields = (
            "id", "provider", "channel", "enabled", "asks_consent", "options", "secrets", "secrets_set", "reports_url",
            "browser_key", "trouble", "tested_at", "test_ok", "test_result", "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "tested_at", "test_ok", "test_result", "created_at")

    @extend_schema_field({"type": "string"})
    def get_channel(self, row: Integration) -> str:
        provider = PROVIDERS.get(row.provider)
        return provider.channel if provider else ""

    @extend_schema_field(_TEXTS)
    def get_secrets_set(self, row: Integration) -> dict[str, str]:
        return masked(row)

    @extend_schema_field({"type": "string"})
    def get_reports_url(self, row: Integration) -> str:
        return reports_url(row)

    @extend_schema_field({"type": "string"})
    def get_browser_key(self, row: Integration) -> str:
        return browser_key(row)

    @extend_schema_field({"type": "string"})
    def get_trouble(self, row: Integration) -> str:
        known: dict[str, str] = self.context.get("troubles", {})
        return known.get(self.get_channel(row), "") if row.enabled else ""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        options, secrets = attrs.pop("options", None), attrs.pop("secrets", None)
        attrs = super().validate(attrs)
        if self.instance is not None and attrs.get("provider", self.instance.provider) != self.instance.provider:
            raise ValidationError({"provider": "A channel keeps its provider: add another one."})
        if self.instance is not None and options is None and secrets is None:
            return attrs
        row = self.instance or Integration(provider=attrs["provider"])
        kept = Integration(provider=row.provider, options=row.options, secrets=row.secrets)
        try:
            keep_settings(kept, {**(options or {}), **(secrets or {})})
        except WrongSettings as error:
            raise ValidationError(self._placed(row.provider, error)) from None
        return {**attrs, "options": kept.options, "secrets": kept.secrets}

    def _placed(self, code: str, error: WrongSettings) -> dict[str, Any]:
        """Where each sentence stands in the body that was sent."""
        hidden = {each.name for each in PROVIDERS[code].settings if each.secret} if code in PROVIDERS else set()
        found: dict[str, dict[str, list[str]]] = {}
        for name, text in error.problems.items():
            found.setdefault("secrets" if name in hidden else "options", {})[name] = [text]
        return found


class TryIn(KnownKeys):
    """Which channel to try, and whom the message is to reach: nobody for chat."""

    channel = serializers.ChoiceField(choices=TESTABLE)
    to = serializers.CharField(required=False, allow_blank=True, max_length=254, default="")


class TriedOut(serializers.Serializer[Any]):
    """What came back: `state` is accepted, refused, unknown or not_sent."""

    ok = serializers.BooleanField()
    state = serializers.CharField()
    says = serializers.CharField()
    reference = serializers.CharField(allow_blank=True)


class IntegrationViewSet(TeamScopedViewSet):
    """Providers that carry messages of the team."""

    resource = "integrations"
    verbs = {"test": "change"}
    post_in_one_transaction = False
    queryset = Integration.objects.all()
    serializer_class = IntegrationSerializer
    filter_fields = {"provider": "provider", "enabled": "enabled"}
    search_fields = ()
    ordering_fields = ("created_at",)

    def get_serializer_context(self) -> dict[str, Any]:
        context = dict(super().get_serializer_context())
        return {**context, "troubles": troubles_of(self.team)} if self.request.method == "GET" else context

    @extend_schema(request=TryIn, responses=TriedOut)
    @action(detail=False, methods=["post"])
    def test(self, request: Request) -> Response:
        """Send one real message over a channel and say what came back; 200 whatever it was."""
        given = TryIn(data=request.data)
        given.is_valid(raise_exception=True)
        channel, to = given.validated_data["channel"], given.validated_data["to"]
        tried = try_channel(team=self.team, channel=channel, to=to, now=timezone.now())
        self.audit("tested", channel, state=tried.state)
        told = {"ok": tried.ok, "state": tried.state, "says": tried.says, "reference": tried.reference}
        return Response(TriedOut(told).data)


class DeviceSerializer(TeamScopedSerializer):
    """A browser by its `subscription`, or an app by its `app_token` of Firebase; registering again is no error."""

    about = SubjectField(prefix="about")
    subscription = serializers.JSONField(required=False, write_only=True, allow_null=True)
    app_token = serializers.CharField(required=False, write_only=True, allow_blank=True, max_length=254)

    class Meta:
        model = Device
        fields = ("id", "kind", "token", "about", "subscription", "app_token", "created_at", "seen_at")
        read_only_fields = ("id", "kind", "token", "created_at", "seen_at")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = {name: attrs.pop(name, None) for name in ("subscription", "app_token")}
        return {**super().validate(attrs), **given}

    def create(self, validated_data: Any) -> Device:
        try:
            return register_device(
                team_id=team_of_context(self.context).pk,
                about_type_id=validated_data["about_type"].pk,
                about_id=validated_data["about_id"],
                subscription=validated_data["subscription"],
                token=validated_data["app_token"] or "",
                now=timezone.now(),
            )
        except BadDevice as error:
            raise ValidationError({"subscription": [str(error)]}) from None


class DeviceViewSet(TeamScopedViewSet):
    """Devices that get push messages."""

    resource = "devices"
    http_method_names = ["get", "post", "delete", "head"]
    queryset = Device.objects.all()
    serializer_class = DeviceSerializer
    filter_fields = {"token": "token", "kind": "kind"}
    search_fields = ()
    ordering_fields = ("created_at", "seen_at")

    def perform_destroy(self, instance: Any) -> None:
        with transaction.atomic():
            self.audit("deleted", instance)
            forget([Lost(instance.team_id, instance.token)])


class OptInSerializer(TeamScopedSerializer):
    """What one person said about one channel; `source` tells where and in which words."""

    class Meta:
        model = OptIn
        fields = ("id", "channel", "address", "granted", "source", "at")
        read_only_fields = ("id", "at")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        channel, team_id = attrs.get("channel", OptIn.Channel.SMS), team_of_context(self.context).pk
        try:
            address = said_address(team_id=team_id, channel=channel, address=attrs.get("address", ""))
        except WrongAddress as error:
            raise ValidationError({"address": [str(error)]}) from None
        return {**super().validate(attrs), "address": address}

    def create(self, validated_data: Any) -> OptIn:
        team_id = team_of_context(self.context).pk
        channel, address = validated_data.get("channel", OptIn.Channel.SMS), validated_data["address"]
        say(
            team_id=team_id, channel=channel, address=address, granted=validated_data.get("granted", True),
            source=validated_data.get("source") or "API", now=timezone.now(),
        )  # fmt: skip
        return OptIn.objects.filter(team_id=team_id, channel=channel, address=address).latest("pk")


class OptInViewSet(TeamScopedViewSet):
    """Who agreed to get messages over a channel; the last choice counts."""

    resource = "opt-ins"
    http_method_names = ["get", "post", "head"]
    queryset = OptIn.objects.all()
    serializer_class = OptInSerializer
    filter_fields = {"channel": "channel", "address": "address", "granted": "granted"}
    search_fields = ("address",)
    ordering_fields = ("at",)
