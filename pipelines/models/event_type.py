"""Kinds of events that a team expects, so that a slip of the sender is told instead of lost."""

from django.core.validators import RegexValidator
from django.db import models

from crm.models import TeamScoped, TeamScopedQuerySet

EVENT_NAME = r"^[A-Za-z][A-Za-z0-9_.:-]{0,79}$"


class EventType(TeamScoped):
    """The name of an event, what it carries, and an example."""

    name = models.CharField(
        max_length=80,
        validators=[RegexValidator(EVENT_NAME, "Begin with a letter; then letters, digits and _ . : - may follow.")],
        help_text="As senders and triggers name it, such as order.paid.",
    )
    description = models.CharField(max_length=200, blank=True)
    schema = models.JSONField(
        null=True, blank=True, help_text="A JSON Schema of what the event carries; empty takes anything."
    )
    sample = models.JSONField(
        null=True, blank=True, help_text="An example of what it carries; it must fit the schema. Tests begin with it."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScopedQuerySet["EventType"].as_manager()

    class Meta:
        verbose_name = "event type"
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="event_type_once")]

    def __str__(self) -> str:
        return self.name
