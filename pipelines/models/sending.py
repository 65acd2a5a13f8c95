"""When and how much a team sends: the rules that every message on its way out is held to."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models

from crm.models import TeamScoped, TeamScopedQuerySet
from pipelines.definition.pacing import parse_caps, parse_throttles
from pipelines.definition.windows import WindowError, parse_holidays, parse_window


def _telling(name: str, read: Any, value: Any) -> None:
    try:
        read(value)
    except WindowError as error:
        raise ValidationError(str(error)) from None
    except TypeError as error:
        raise ValidationError(f"{name}: {error}") from None


def validate_window(value: Any) -> None:
    """Hours as `{"days": […], "hours": "09:00-17:00", "quiet": "21:00-08:00", "tz": "subject"}`."""
    _telling("window", parse_window, value)


def validate_holidays(value: Any) -> None:
    """A list of texts such as "12-25 Christmas"."""
    if not isinstance(value, list):
        raise ValidationError('Holidays are a list such as ["12-25 Christmas"].')
    _telling("holidays", parse_holidays, value)


def validate_caps(value: Any) -> None:
    """A list of texts such as "2 per day"."""
    if not isinstance(value, list):
        raise ValidationError('Caps are a list such as ["2 per day", "5 per week"].')
    _telling("caps", parse_caps, value)


def validate_throttles(value: Any) -> None:
    """An object such as `{"email": "600 per hour"}`."""
    _telling("throttles", parse_throttles, value)


class SendingRules(TeamScoped):
    """Hours, holidays, caps and pace of one team; a team without a row sends at any time.

    Hours and caps hold for messages with a topic; what cannot be unsubscribed from keeps the pace alone.
    """

    class Capped(models.TextChoices):
        WAIT = "wait", "Waits until the cap allows it"
        SKIP = "skip", "Is skipped"

    window = models.JSONField(default=dict, blank=True, validators=[validate_window])
    holidays = models.JSONField(default=list, blank=True, validators=[validate_holidays])
    caps = models.JSONField(
        default=list, blank=True, validators=[validate_caps], help_text="Messages one person gets at most."
    )
    when_capped = models.CharField(max_length=4, choices=Capped.choices, default=Capped.WAIT)
    longest_wait_hours = models.PositiveIntegerField(
        default=72,
        validators=[MaxValueValidator(31 * 24)],
        help_text="What a cap would keep longer than this is skipped.",
    )
    throttles = models.JSONField(default=dict, blank=True, validators=[validate_throttles])
    updated_at = models.DateTimeField(auto_now=True)

    objects = TeamScopedQuerySet["SendingRules"].as_manager()

    class Meta:
        verbose_name = "sending rules"
        verbose_name_plural = "sending rules"
        constraints = [
            models.UniqueConstraint(
                fields=["team"],
                name="sending_rules_once_per_team",
                violation_error_message="The team has its rules already: change them.",
            )
        ]

    def __str__(self) -> str:
        return f"Sending rules of {self.team}"
