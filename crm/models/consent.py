"""What people chose to get: topics of a team, who subscribed to them, and the history of every choice."""

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from crm.models.base import TeamScoped, TeamScopedQuerySet

CONFIRM_URL = "{{ confirm_url }}"
CONFIRM_SUBJECT = "Please confirm: {{ topic }}"
CONFIRM_TEXT = """Hello,

somebody, most likely you, asked for “{{ topic }}” of {{ team }} at this address. Please confirm it here:

{{ confirm_url }}

If it was not you, do nothing: you will get nothing.
"""


def validate_confirm_text(value: str) -> None:
    """Refuse a text by which nobody can confirm."""
    if value.strip() and CONFIRM_URL not in value:
        raise ValidationError("Write {{ confirm_url }} where the link to confirm is to stand.")


class Topic(TeamScoped):
    """Something people may choose to get or not, named by messages with its key."""

    key = models.SlugField(max_length=60, help_text="What steps and templates name, such as news.")
    name = models.CharField(max_length=120, help_text="What readers see.")
    description = models.CharField(max_length=300, blank=True, help_text="What they get, and how often.")
    default_on = models.BooleanField(
        default=True,
        verbose_name="on by default",
        help_text="Whether those who never chose get it. Off: only who subscribed does.",
    )
    shown = models.BooleanField(default=True, help_text="Whether readers see it among their preferences.")
    confirm = models.BooleanField(
        default=False,
        verbose_name="ask for confirmation",
        help_text="Double opt-in: nothing is sent before the link in a mail was opened and confirmed.",
    )
    confirm_subject = models.CharField(
        max_length=200, blank=True, help_text=f"Subject of that mail; empty is “{CONFIRM_SUBJECT}”."
    )
    confirm_text = models.TextField(
        blank=True,
        validators=[validate_confirm_text],
        help_text="Text of that mail, with {{ confirm_url }}, and {{ topic }} and {{ team }} for the names.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScopedQuerySet["Topic"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="topic_key_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def wording(self) -> str:
        """What a reader agrees to, in the words shown."""
        return f"{self.name}: {self.description}" if self.description else self.name


class Subscription(TeamScoped):
    """An address that asked for a topic; where the topic wants it, it waits until a link in a mail was confirmed."""

    class State(models.TextChoices):
        PENDING = "pending", "Waits for confirmation"
        ON = "on", "Subscribed"

    address = models.CharField(max_length=254, help_text="Lower case.")
    topic = models.CharField(max_length=60)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    wording = models.TextField(blank=True, help_text="What was agreed to, in the words shown.")
    asked_at = models.DateTimeField(help_text="When it was asked for last.")
    asks = models.SmallIntegerField(default=0, help_text="Confirmation mails since it began to wait.")
    mail_at = models.DateTimeField(null=True, blank=True, help_text="When a confirmation mail is to leave.")
    confirmed_at = models.DateTimeField(null=True, blank=True)

    objects = TeamScopedQuerySet["Subscription"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "address", "topic"], name="subscription_once")]
        indexes = [models.Index(fields=["mail_at"], condition=Q(mail_at__isnull=False), name="subscription_mail")]

    def __str__(self) -> str:
        return f"{self.address} · {self.topic}"


class ConsentEntry(TeamScoped):
    """One choice about one address, never changed afterwards."""

    class Kind(models.TextChoices):
        SUBSCRIBED = "subscribed", "Subscribed"
        ASKED = "asked", "Asked to confirm"
        CONFIRMED = "confirmed", "Confirmed"
        UNSUBSCRIBED = "unsubscribed", "Unsubscribed"

    address = models.CharField(max_length=254, help_text="Lower case.")
    topic = models.CharField(max_length=60, blank=True, help_text="Empty: everything.")
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.SUBSCRIBED)
    at = models.DateTimeField()
    how = models.CharField(max_length=60, help_text="Such as preferences page, one-click or API.")
    who = models.CharField(max_length=150, blank=True, help_text="The person or key that did it; empty is the reader.")
    wording = models.TextField(blank=True, help_text="What was agreed to, in the words shown.")

    objects = TeamScopedQuerySet["ConsentEntry"].as_manager()

    class Meta:
        verbose_name = "consent"
        verbose_name_plural = "consents"
        indexes = [models.Index(fields=["team", "address", "id"], name="consent_of_address")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.topic or 'everything'}"
