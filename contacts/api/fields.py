"""Fields that several serializers of contacts share."""

from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers

from contacts import custom, hooks
from contacts.models import Contact
from contacts.tagging import MAX_NAME
from crm.models import Team

MAX_TAGS = 50
MAX_PIPELINES = 50


class CustomField(serializers.JSONField):
    """An object of custom values; null removes a key."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value: Any = super().to_internal_value(data)
        found = custom.problems(value)
        if found:
            if found[0][0] == "custom":
                raise serializers.ValidationError(found[0][1])
            raise serializers.ValidationError({path.removeprefix("custom."): [message] for path, message in found})
        return dict(value)


class TagNamesField(serializers.ListField):
    """Tags by name; names nobody used before become tags."""

    child = serializers.CharField(max_length=MAX_NAME)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_TAGS, **kwargs)

    def get_attribute(self, instance: Contact) -> list[str]:
        return sorted(tag.name for tag in instance.tags.all())


class PipelinesField(serializers.ListField):
    """Pipelines by key or id; answers the ids of those the contact is in."""

    default_error_messages = {"unknown": "There is no pipeline {value} that takes contacts by hand."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_PIPELINES, **kwargs)

    def get_attribute(self, instance: Contact) -> list[int]:
        return hooks.manual_pipelines.current(subject=instance)

    def to_internal_value(self, data: Any) -> list[int]:
        wanted = super().to_internal_value(data)
        if not wanted:
            return []
        team = self.context["request"].auth.team
        return self._ids(wanted, team)

    def _ids(self, wanted: Sequence[Any], team: Team) -> list[int]:
        choices = hooks.manual_pipelines.choices(team=team, model=Contact)
        by_key: Mapping[str, int] = {text: choice.id for choice in choices for text in (str(choice.id), choice.key)}
        errors: Any = {
            index: [self.error_messages["unknown"].format(value=str(value)[:60])]
            for index, value in enumerate(wanted)
            if isinstance(value, bool) or str(value) not in by_key
        }
        if errors:
            raise serializers.ValidationError(errors)
        return list(dict.fromkeys(by_key[str(value)] for value in wanted))
