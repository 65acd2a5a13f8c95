"""How a team sends: its providers with sealed secrets, the devices of its contacts, and who agreed to what."""

import secrets

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models

from crm.models.base import TeamScoped, TeamScopedQuerySet


def new_token() -> str:
    """Part of an address that nobody guesses."""
    return secrets.token_hex(20)


class Integration(TeamScoped):
    """One provider that carries messages of the team."""

    class Provider(models.TextChoices):
        TWILIO = "twilio", "SMS by Twilio"
        WEB_PUSH = "webpush", "Push to browsers"
        FCM = "fcm", "Push to apps"
        WHATSAPP = "whatsapp_cloud", "WhatsApp by Meta"
        SLACK = "slack", "Slack"
        TEAMS = "teams", "Microsoft Teams"

    provider = models.CharField(max_length=20, choices=Provider.choices)
    enabled = models.BooleanField(default=True)
    asks_consent = models.BooleanField(
        default=True,
        verbose_name="only with consent",
        help_text="Whether messages with a topic reach only those who agreed to get them over this channel.",
    )
    options = models.JSONField(default=dict, blank=True)
    secrets = models.TextField(blank=True, editable=False, help_text="Sealed.")
    token = models.CharField(max_length=40, unique=True, default=new_token, editable=False)
    tested_at = models.DateTimeField(null=True, blank=True, editable=False)
    test_ok = models.BooleanField(null=True, editable=False)
    test_result = models.CharField(max_length=400, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScopedQuerySet["Integration"].as_manager()

    class Meta:
        verbose_name = "channel"
        constraints = [models.UniqueConstraint(fields=["team", "provider"], name="integration_once")]

    def __str__(self) -> str:
        return self.get_provider_display()


class Device(TeamScoped):
    """A browser or an app that gets push messages of one record; who registers it agrees to them."""

    class Kind(models.TextChoices):
        WEB_PUSH = "webpush", "Browser"
        FCM = "fcm", "App"

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.WEB_PUSH)
    token = models.CharField(max_length=254, help_text="What steps name it by.")
    subscription = models.TextField(blank=True, editable=False, help_text="Sealed: how to reach a browser.")
    about_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, related_name="+", db_index=False)
    about_id = models.BigIntegerField()
    about = GenericForeignKey("about_type", "about_id")
    created_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When it was registered last.")

    objects = TeamScopedQuerySet["Device"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "token"], name="device_once")]
        indexes = [models.Index(fields=["about_type", "about_id"], name="device_about")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} …{self.token[-6:]}"


class OptIn(TeamScoped):
    """One choice of one person about one channel, never changed: the last one counts."""

    class Channel(models.TextChoices):
        SMS = "sms", "SMS"
        PUSH = "push", "Push"
        WHATSAPP = "whatsapp", "WhatsApp"

    channel = models.CharField(max_length=10, choices=Channel.choices, default=Channel.SMS)
    address = models.CharField(max_length=254, help_text="A number such as +4915112345678, or the token of a device.")
    granted = models.BooleanField(default=True, help_text="Off: the person does not want it any more.")
    source = models.CharField(max_length=200, blank=True, help_text="Where and in which words it was said.")
    reference = models.CharField(
        max_length=200, blank=True, editable=False, help_text="The provider's id of the reply that said so."
    )
    at = models.DateTimeField()

    objects = TeamScopedQuerySet["OptIn"].as_manager()

    class Meta:
        verbose_name = "opt-in"
        constraints = [
            models.UniqueConstraint(
                fields=["team", "channel", "reference"],
                condition=~models.Q(reference=""),
                name="opt_in_once_per_reply",
            )
        ]
        indexes = [models.Index(fields=["team", "channel", "address", "id"], name="opt_in_of_address")]

    def __str__(self) -> str:
        return f"{self.get_channel_display()}: {'yes' if self.granted else 'no'}"
