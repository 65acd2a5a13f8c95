"""Records of types that a team defines itself, such as products or purchase orders."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from contacts import record_fields
from crm.models import TeamScoped, TeamScopedQuerySet

TYPE_KEY = r"^[a-z][a-z0-9_]{0,39}$"


def validate_fields(value: Any) -> None:
    """Refuse definitions of fields that records could not be held to."""
    problems = record_fields.definition_problems(value)
    if problems:
        raise ValidationError([f"{path}: {message}" if path else message for path, message in problems])


class RecordType(TeamScoped):
    """A kind of record and its fields."""

    key = models.CharField(
        max_length=40,
        validators=[RegexValidator(TYPE_KEY, "Use lower-case letters, digits and _, beginning with a letter.")],
        help_text="How steps and the API name it, such as product for records.product.",
    )
    label = models.CharField(max_length=80)
    fields = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_fields],
        help_text='A list such as [{"key": "quantity", "label": "Quantity", "type": "integer", "required": true}].',
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScopedQuerySet["RecordType"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="record_type_key_once")]

    def __str__(self) -> str:
        return self.label


class Record(TeamScoped):
    """One record of a type; its values fit the type's fields."""

    type = models.ForeignKey(RecordType, on_delete=models.CASCADE, related_name="records", db_index=False)
    values = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TeamScopedQuerySet["Record"].as_manager()

    class Meta:
        indexes = [models.Index(fields=["type", "-id"], name="record_recent")]

    def __str__(self) -> str:
        named = next((str(value) for value in self.values.values() if isinstance(value, str) and value), "")
        return named[:60] or f"Record {self.pk}"
