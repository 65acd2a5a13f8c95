"""What became of a message after it was sent: delivered, opened, followed, bounced, complained about, answered."""

from django.db import models

from crm.models.base import TeamScoped, TeamScopedQuerySet
from crm.models.message import Message


class MessageEvent(TeamScoped):
    """One kind of thing that happened to a message, at one place of it, counted when it happens again."""

    class Kind(models.TextChoices):
        DELIVERED = "delivered", "Delivered"
        OPENED = "opened", "Opened"
        CLICKED = "clicked", "Clicked"
        BOUNCED = "bounced", "Bounced"
        COMPLAINED = "complained", "Complained"
        REPLIED = "replied", "Replied"
        SENT = "sent", "Sent on"
        READ = "read", "Read"
        FAILED = "failed", "Failed"
        UNDELIVERED = "undelivered", "Not delivered"

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.OPENED)
    place = models.IntegerField(
        help_text="Which link; -1 the picture, -2 the hidden one; of bounces 1: no such mailbox."
    )
    url = models.CharField(max_length=2000, blank=True)
    likely_human = models.BooleanField(default=False)
    text = models.TextField(blank=True, help_text="Of an answer: its words, without what it quotes.")
    reason = models.CharField(max_length=60, blank=True, help_text="Why it does not look like a person.")
    count = models.PositiveIntegerField(default=1)
    at = models.DateTimeField()
    last_at = models.DateTimeField()

    objects = TeamScopedQuerySet["MessageEvent"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["message", "kind", "place", "likely_human"], name="message_event_once")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({'a person' if self.likely_human else self.reason or 'a program'})"
