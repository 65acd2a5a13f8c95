"""Secrets of a team: named, replaced and deleted, never read."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from crm.models import Secret
from crm.scoping import TeamScopedSerializer, TeamScopedViewSet
from crm.team_secrets import LONGEST, MOST_HOSTS, WrongSecret, keep_value, masked, tidy_hosts


class SecretSerializer(TeamScopedSerializer):
    """One secret. `value` may only be written; one that is left out stays. `hosts` are those it may be sent to."""

    value = serializers.CharField(write_only=True, required=False, max_length=LONGEST)
    hosts = serializers.ListField(child=serializers.CharField(max_length=253), max_length=MOST_HOSTS)
    shown = serializers.SerializerMethodField(help_text="Dots, and the last characters of a long value.")

    class Meta:
        model = Secret
        fields = ("id", "name", "value", "shown", "hosts", "created_at", "changed_at")
        read_only_fields = ("id", "created_at", "changed_at")

    @extend_schema_field({"type": "string"})
    def get_shown(self, row: Secret) -> str:
        return masked(row)

    def validate_hosts(self, hosts: list[str]) -> list[str]:
        try:
            return tidy_hosts(hosts)
        except WrongSecret as error:
            raise ValidationError(str(error)) from None

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        value = attrs.pop("value", None)
        attrs = super().validate(attrs)
        if value is None:
            if self.instance is None:
                raise ValidationError({"value": "This field is required."})
            return attrs
        kept = Secret()
        try:
            keep_value(kept, value)
        except WrongSecret as error:
            raise ValidationError({"value": str(error)}) from None
        return {**attrs, "sealed": kept.sealed, "ending": kept.ending}


class SecretViewSet(TeamScopedViewSet):
    """Keys of other systems that calls of steps carry in their headers."""

    resource = "secrets"
    queryset = Secret.objects.all()
    serializer_class = SecretSerializer
    filter_fields = {"name": "name"}
    search_fields = ("name",)
    ordering_fields = ("name", "created_at")
