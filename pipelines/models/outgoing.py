"""Outgoing webhooks: addresses of other systems that hear what happens here, and what was told to them."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from crm.channels.calls import BadRequest, parse_url
from crm.models import TeamScoped, TeamScopedQuerySet


def validate_address(value: str) -> None:
    """Refuse what can never be called; whether it may be called is asked when it is."""
    try:
        parse_url(value)
    except BadRequest as error:
        raise ValidationError(str(error)) from None


class Webhook(TeamScoped):
    """An address that is told of events by Standard Webhooks."""

    name = models.CharField(max_length=120, help_text="What it is for, such as Billing.")
    url = models.CharField(
        max_length=2000,
        validators=[validate_address],
        verbose_name="address",
        help_text="Where events are posted, such as https://example.org/crm.",
    )
    types = models.JSONField(
        default=list, blank=True, verbose_name="events", help_text="Names of events; none means every event."
    )
    secret = models.TextField(editable=False, help_text="Sealed.")
    old_secret = models.TextField(blank=True, editable=False, help_text="Sealed; signs too until its time is over.")
    old_until = models.DateTimeField(null=True, editable=False)
    enabled = models.BooleanField(default=True)
    disabled_because = models.CharField(max_length=200, blank=True, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False, help_text="The first failure after a success.")
    last_success_at = models.DateTimeField(null=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScopedQuerySet["Webhook"].as_manager()

    class Meta:
        verbose_name = "outgoing webhook"

    def __str__(self) -> str:
        return self.name

    def hears(self, type_: str) -> bool:
        return not self.types or type_ in self.types


class WebhookDelivery(models.Model):
    """One event for one address: stored with what it tells of, posted until it is accepted or its tries are over."""

    class State(models.IntegerChoices):
        WAITING = 0, "waiting"
        DELIVERED = 1, "delivered"
        FAILED = 2, "failed"

    team_lookup = "webhook__team"

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    message_id = models.CharField(max_length=60)
    type = models.CharField(max_length=80)
    body = models.TextField(help_text="JSON, as it is signed and posted.")
    state = models.SmallIntegerField(choices=State.choices, default=State.WAITING)
    attempts = models.SmallIntegerField(default=0, help_text="Since it was stored or replayed.")
    due_at = models.DateTimeField()
    lease = models.IntegerField(default=0, help_text="The number of the last lease: older ones change nothing.")
    lease_until = models.DateTimeField(null=True)
    status = models.SmallIntegerField(null=True, help_text="Of the last answer.")
    answer = models.CharField(max_length=500, blank=True, help_text="How the last answer began, or why there is none.")
    at = models.DateTimeField()
    tried_at = models.DateTimeField(null=True)

    objects = TeamScopedQuerySet["WebhookDelivery"].as_manager()

    class Meta:
        verbose_name = "webhook delivery"
        verbose_name_plural = "webhook deliveries"
        constraints = [models.UniqueConstraint(fields=["webhook", "message_id"], name="webhook_delivery_once")]
        indexes = [
            models.Index(fields=["webhook", "due_at"], condition=Q(state=0), name="webhook_due"),
            models.Index(fields=["webhook", "id"], name="webhook_log"),
            models.Index(fields=["at"], name="webhook_age"),
        ]

    def __str__(self) -> str:
        return self.message_id
