"""Incoming webhooks: addresses that other systems post to, and what they posted."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from crm.models import TeamScoped, TeamScopedQuerySet
from pipelines.models.trigger import Trigger


class Hook(TeamScoped):
    """An address for one webhook trigger; whoever knows its token, and its secret if it has one, may post."""

    name = models.CharField(max_length=120)
    trigger = models.OneToOneField(
        Trigger,
        on_delete=models.CASCADE,
        related_name="hook",
        verbose_name="pipeline",
        help_text="Who posts enters it.",
    )
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    token_hint = models.CharField(max_length=8, editable=False)
    secret = models.TextField(blank=True, editable=False, help_text="Sealed; empty: the token alone is enough.")
    fields = models.JSONField(
        default=dict,
        blank=True,
        verbose_name="fields of new contacts",
        help_text='What a new contact gets, such as {"first_name": "{{ trigger.name }}"}.',
    )
    topic = models.CharField(
        max_length=60,
        blank=True,
        default="",
        help_text="Key of a topic that the posted address subscribes to; empty for none.",
    )
    enabled = models.BooleanField(default=True)
    received_total = models.BigIntegerField(default=0, editable=False)
    refused_total = models.BigIntegerField(default=0, editable=False)
    last_received_at = models.DateTimeField(null=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScopedQuerySet["Hook"].as_manager()

    class Meta:
        verbose_name = "incoming webhook"

    def __str__(self) -> str:
        return self.name

    @property
    def is_signed(self) -> bool:
        return bool(self.secret)


class HookDelivery(models.Model):
    """One accepted post: stored before it is answered, worked off by the next pass."""

    class State(models.IntegerChoices):
        RECEIVED = 0, "received"
        DONE = 1, "done"
        FAILED = 2, "failed"

    team_lookup = "hook__team"

    hook = models.ForeignKey(Hook, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    message_id = models.CharField(max_length=120)
    body = models.JSONField()
    state = models.SmallIntegerField(choices=State.choices, default=State.RECEIVED)
    outcome = models.CharField(max_length=400, blank=True)
    run_id = models.BigIntegerField(null=True)
    at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    objects = TeamScopedQuerySet["HookDelivery"].as_manager()

    class Meta:
        verbose_name = "delivery"
        verbose_name_plural = "deliveries"
        constraints = [models.UniqueConstraint(fields=["hook", "message_id"], name="hook_delivery_once")]
        indexes = [
            models.Index(fields=["id"], condition=Q(state=0), name="hook_inbox"),
            models.Index(fields=["hook", "id"], name="hook_log"),
            # What is old enough to be forgotten.
            models.Index(fields=["at"], name="hook_age"),
        ]

    def __str__(self) -> str:
        return self.message_id
