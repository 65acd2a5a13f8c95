"""Fields that a team defines: the resource of definitions, and values held to them wherever records are written."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from django.core.exceptions import ValidationError as ModelValidationError
from django.db import models
from rest_framework import serializers

from contacts.custom import merged, problems
from contacts.models import FieldDefinition
from contacts.own_fields import Field, checked_custom, definitions
from contacts.record_fields import LONGEST_OPTION, MOST_OPTIONS, InvalidValues
from crm.api.problems import as_detail
from crm.scoping import TeamScopedSerializer, TeamScopedViewSet
from crm.scoping.api import team_of_context


class HoldsOwnFields:
    """Mixed into serializers with `custom`: defined keys hold values of their types, a new record the required ones."""

    instance: Any
    context: Any
    Meta: Any

    @cached_property
    def own_fields(self) -> tuple[Field, ...]:
        """Read once for a request, however many records it brings."""
        model: type[models.Model] = self.Meta.model
        return definitions(team=team_of_context(self.context), model=model)

    def to_internal_value(self, data: Any) -> Any:
        attrs: dict[str, Any] = super().to_internal_value(data)  # type: ignore[misc]
        is_new = self.instance is None
        if "custom" not in attrs and not is_new:
            return attrs
        try:
            values = checked_custom(fields=self.own_fields, values=attrs.get("custom", {}), complete=is_new)
        except InvalidValues as error:
            raise serializers.ValidationError({"custom": {key: [text] for key, text in error.problems}}) from error
        return {**attrs, "custom": values} if "custom" in attrs else attrs


class HoldsOwnFieldsMerged(HoldsOwnFields):
    """The same where the serializer itself writes: `custom` changes only the keys it names, and null takes one away."""

    def create(self, validated_data: dict[str, Any]) -> Any:
        return super().create(_merged_into({}, validated_data))  # type: ignore[misc]

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        return super().update(instance, _merged_into(instance.custom, validated_data))  # type: ignore[misc]


def _merged_into(held: Mapping[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Values to write, with `custom` as it will be held, which as a whole may be too much."""
    if "custom" not in values:
        return values
    custom = merged(current=held, changes=values["custom"])
    found = problems(custom)
    if found:
        raise serializers.ValidationError({"custom": [message for _, message in found]})
    return {**values, "custom": custom}


class FieldDefinitionSerializer(TeamScopedSerializer):
    """A field of contacts, companies or deals."""

    options: Any = serializers.ListField(
        child=serializers.CharField(max_length=LONGEST_OPTION),
        required=False,
        max_length=MOST_OPTIONS,
        help_text="What may be chosen, where the type is select.",
    )

    class Meta:
        model = FieldDefinition
        fields = (
            "id", "model", "key", "label", "type", "required", "options", "personal", "position", "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "created_at")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Steps, files and programs name a field by its key, so that stays."""
        fixed = ("model", "key") if self.instance is not None else ()
        moved = [
            name for name in fixed if attrs.get(name, getattr(self.instance, name)) != getattr(self.instance, name)
        ]
        if moved:
            raise serializers.ValidationError(dict.fromkeys(moved, "This cannot be changed: make another field."))
        return super().validate(attrs)

    def _check_constraints(self, candidate: models.Model) -> None:
        try:
            candidate.clean()
        except ModelValidationError as refused:
            raise serializers.ValidationError(as_detail(refused)) from refused
        super()._check_constraints(candidate)


class FieldDefinitionViewSet(TeamScopedViewSet):
    """Fields of contacts, companies and deals that the team defines; values stay when a definition goes."""

    resource = "fields"
    queryset = FieldDefinition.objects.all()
    serializer_class = FieldDefinitionSerializer
    filter_fields = {"model": "model", "key": "key", "type": "type"}
    search_fields = ("label", "key")
    ordering_fields = ("position", "label", "key", "created_at")
