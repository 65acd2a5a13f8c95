"""Fields that a team defines for its contacts, companies and deals."""

from typing import Any, Final

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import models

from contacts import record_fields
from crm.models import TeamScoped, TeamScopedQuerySet

# What conditions, messages and the API read of records beside the columns.
ALSO_TAKEN: Final = frozenset({"name", "did", "tags", "pipelines"})


class FieldDefinition(TeamScoped):
    """What the values under one key of `custom` are: its label, its type, and who must give it.

    Keys without a definition stay free. The key and the model of a definition do not change, for
    steps, files and programs name a field by them.
    """

    class Model(models.TextChoices):
        CONTACT = "contacts.contact", "Contacts"
        COMPANY = "contacts.company", "Companies"
        DEAL = "contacts.deal", "Deals"

    model = models.CharField(max_length=40, choices=Model.choices, verbose_name="of", help_text="Whose field it is.")
    key = models.CharField(
        max_length=40, help_text="How messages, conditions and the API name it, such as plan for contact.plan."
    )
    label = models.CharField(max_length=80, help_text="How people read it.")
    type = models.CharField(max_length=20, choices=list(record_fields.LABELS.items()), default="text")
    required = models.BooleanField(default=False, help_text="New records made by people, the API and files need it.")
    options = models.JSONField(default=list, blank=True, help_text="What may be chosen, where the type is a choice.")
    personal = models.BooleanField(
        default=False,
        verbose_name="personal data",
        help_text="What steps write into it does not stand in the log of a run, and no error repeats it.",
    )
    position = models.PositiveIntegerField(default=0, help_text="Smaller numbers stand first.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScopedQuerySet["FieldDefinition"].as_manager()

    class Meta:
        verbose_name = "field"
        constraints = [
            models.UniqueConstraint(
                fields=["team", "model", "key"],
                name="field_definition_key_once",
                violation_error_message="There is a field of this key already.",
            ),
            models.CheckConstraint(
                condition=models.Q(model__in=["contacts.contact", "contacts.company", "contacts.deal"]),
                name="field_definition_model_known",
            ),
        ]

    def __str__(self) -> str:
        return self.label or self.key

    def clean(self) -> None:
        """Refuse a definition that values could not be held to, field by field."""
        problems: dict[str, list[str]] = {}
        for path, message in record_fields.definition_problems([self.as_field()]):
            problems.setdefault(path.removeprefix("[0]").removeprefix("."), []).append(message)
        if self.model in self.Model.values and self.key in self._taken():
            problems.setdefault("key", []).append(f"{self.key!r} already has a meaning: choose another key.")
        if self._state.adding and self._siblings() >= record_fields.MOST_FIELDS:
            problems.setdefault("key", []).append(f"At most {record_fields.MOST_FIELDS} fields of one kind of record.")
        if problems:
            raise ValidationError(problems)

    def _siblings(self) -> int:
        return FieldDefinition.objects.filter(team=self.team_id, model=self.model).count() if self.team_id else 0

    def _taken(self) -> set[str]:
        """Names under which every record of the model holds something anyway."""
        fields = apps.get_model(self.model)._meta.get_fields()
        names = {name for field in fields for name in (field.name, getattr(field, "attname", field.name))}
        return (names | ALSO_TAKEN) - record_fields.TAKEN

    def as_field(self) -> dict[str, Any]:
        """The definition in the shape of a record type's fields."""
        field = {"key": self.key, "label": self.label, "type": self.type}
        marks = {"required": self.required, "personal": self.personal}
        return {**field, **marks, "options": self.options} if self.options else {**field, **marks}
