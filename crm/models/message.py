"""What was sent to whom, by which run and step, and what became of it."""

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models

from crm.models.base import TeamScoped, TeamScopedQuerySet


class Message(TeamScoped):
    """One message to one recipient over one channel."""

    class Channel(models.TextChoices):
        EMAIL = "email", "Email"
        SMS = "sms", "SMS"
        PUSH = "push", "Push"
        WHATSAPP = "whatsapp", "WhatsApp"
        CHAT = "chat", "Chat"

    class State(models.TextChoices):
        """Queued → sending → sent, failed or uncertain; skipped, cancelled and captured never left."""

        QUEUED = "queued", "Queued"
        SENDING = "sending", "Sending"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"
        UNCERTAIN = "uncertain", "Uncertain"
        SKIPPED = "skipped", "Skipped"
        CANCELLED = "cancelled", "Cancelled"
        CAPTURED = "captured", "Captured by a test"

    class Tracking(models.TextChoices):
        ON = "on", "On"
        OFF = "off", "Off"

    channel = models.CharField(max_length=10, choices=Channel.choices, default=Channel.EMAIL)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    reason = models.CharField(max_length=60, blank=True, help_text="Why it was skipped or failed.")
    recipient = models.CharField(max_length=254)
    sender = models.CharField(max_length=320, blank=True)
    reply_to = models.CharField(max_length=320, blank=True)
    subject = models.CharField(max_length=500, blank=True)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    attachments = models.JSONField(default=list, blank=True)
    headers = models.JSONField(default=dict, blank=True)
    topic = models.CharField(max_length=60, blank=True, help_text="Empty for messages that cannot be unsubscribed.")
    tracking = models.CharField(max_length=3, choices=Tracking.choices, blank=True, help_text="Empty: as the team.")
    message_id = models.CharField(max_length=200, blank=True)
    about_type = models.ForeignKey(
        ContentType, null=True, blank=True, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    about_id = models.BigIntegerField(null=True, blank=True)
    about = GenericForeignKey("about_type", "about_id")
    run_id = models.BigIntegerField(null=True, blank=True)
    step_id = models.IntegerField(null=True, blank=True)
    run_seq = models.IntegerField(null=True, blank=True)
    error = models.CharField(max_length=400, blank=True)
    attempts = models.SmallIntegerField(default=0)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True, help_text="When a person settled an uncertain message.")
    held_until = models.DateTimeField(null=True, blank=True, help_text="When a message that waits may leave.")
    held_by = models.CharField(max_length=200, blank=True, default="", help_text="The rule that kept it.")

    objects = TeamScopedQuerySet["Message"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run_id", "run_seq"], condition=models.Q(run_id__isnull=False), name="message_once_per_visit"
            )
        ]
        indexes = [
            models.Index(fields=["about_type", "about_id"], name="message_about"),
            models.Index(
                fields=["team", "id"],
                condition=models.Q(state="uncertain", decided_at__isnull=True),
                name="message_uncertain",
            ),
            models.Index(fields=["message_id"], condition=~models.Q(message_id=""), name="message_by_message_id"),
            models.Index(fields=["recipient"], condition=models.Q(state="sending"), name="message_sending"),
            # What one person got over all pipelines, whatever record it was about: caps count nothing without a topic.
            models.Index(fields=["recipient"], condition=~models.Q(topic=""), name="message_recipient"),
            # Whose reply a number is: to whatever was sent there last, with a topic or without.
            models.Index(
                fields=["recipient"], condition=models.Q(channel__in=["sms", "push", "whatsapp"]), name="message_number"
            ),
            models.Index(fields=["team", "sent_at"], condition=models.Q(sent_at__isnull=False), name="message_sent"),
        ]

    def __str__(self) -> str:
        return f"{self.subject or '(no subject)'} → {self.recipient}"


class Suppression(TeamScoped):
    """An address that nothing may be sent to, for one topic or (empty topic) at all."""

    class Reason(models.TextChoices):
        UNSUBSCRIBED = "unsubscribed", "Unsubscribed"
        BOUNCED = "bounced", "Bounced"
        COMPLAINED = "complained", "Complained"
        MANUAL = "manual", "Added by hand"

    address = models.CharField(max_length=254, help_text="Lower case.")
    topic = models.CharField(max_length=60, blank=True)
    reason = models.CharField(max_length=20, choices=Reason.choices, default=Reason.MANUAL)
    source = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScopedQuerySet["Suppression"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "address", "topic"], name="suppression_once")]

    def __str__(self) -> str:
        return self.address


class MessageTemplate(TeamScoped):
    """A message written once and used by steps by its key."""

    key = models.SlugField(max_length=60)
    name = models.CharField(max_length=120)
    subject = models.CharField(max_length=500)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    topic = models.CharField(
        max_length=60,
        default="marketing",
        blank=True,
        help_text="What one can unsubscribe from; empty for mail that cannot be unsubscribed.",
    )
    use_layout = models.BooleanField(
        default=True,
        verbose_name="in the team's layout",
        help_text="Whether the HTML stands in the layout of the team.",
    )
    updated_at = models.DateTimeField(auto_now=True)

    objects = TeamScopedQuerySet["MessageTemplate"].as_manager()

    class Meta:
        verbose_name = "message template"
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="template_key_once")]

    def __str__(self) -> str:
        return self.name


class Notification(TeamScoped):
    """A short note to a user of the team, shown on the dashboard."""

    user = models.ForeignKey("auth.User", on_delete=models.CASCADE, related_name="crm_notifications")
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    about_type = models.ForeignKey(
        ContentType, null=True, blank=True, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    about_id = models.BigIntegerField(null=True, blank=True)
    about = GenericForeignKey("about_type", "about_id")
    run_id = models.BigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField()
    read_at = models.DateTimeField(null=True, blank=True)

    objects = TeamScopedQuerySet["Notification"].as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["user", "id"], condition=models.Q(read_at__isnull=True), name="notification_unread")
        ]

    def __str__(self) -> str:
        return self.title
