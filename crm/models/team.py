"""A team is the tenant: every row of the product belongs to exactly one."""

from typing import Self

from django.core.exceptions import ValidationError
from django.db import models

from crm.timezones import known_timezones

CONTENT = "{{ content }}"


def validate_layout(value: str) -> None:
    """Refuse a layout that would swallow the message."""
    if value.strip() and value.count(CONTENT) != 1:
        raise ValidationError("Write {{ content }} once, where the message is to stand.")


def validate_timezone(value: str) -> None:
    """Refuse names that the time zone database does not know."""
    if value and value not in known_timezones():
        raise ValidationError("Unknown time zone %(value)s: use a name such as Europe/Berlin.", params={"value": value})


class TeamQuerySet(models.QuerySet["Team"]):
    """Teams."""

    def for_team(self, team: "Team | None") -> Self:
        return self if team is None else self.filter(pk=team.pk)


class Team(models.Model):
    """A group of people who share contacts, pipelines and settings."""

    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60, unique=True)
    timezone = models.CharField(max_length=64, default="UTC", validators=[validate_timezone])
    sender_name = models.CharField(max_length=120, blank=True, help_text="Name that mail of this team is sent from.")
    sender_email = models.EmailField(blank=True, help_text="Address that mail of this team is sent from.")
    reply_to = models.EmailField(blank=True)
    postal_address = models.CharField(max_length=300, blank=True, help_text="Shown below marketing mail.")
    mail_layout = models.TextField(
        blank=True,
        validators=[validate_layout],
        help_text="HTML around the HTML of message templates, with {{ content }} where the message stands.",
    )
    track_opens = models.BooleanField(default=False, help_text="Whether mail carries a picture that tells of opens.")
    track_clicks = models.BooleanField(default=False, help_text="Whether links in mail lead through the CRM.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name
