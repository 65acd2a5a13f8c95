"""What webhooks may hear of, in groups for people."""

from typing import Final

from crm.models import Team
from pipelines.definition.expressions import suggestion
from pipelines.models import EventType
from pipelines.triggers.told import BUILT_IN, OF_LETTERS

CHANNELS: Final = {"sms": "SMS", "whatsapp": "WhatsApp"}


def in_words(name: str) -> str:
    channel, _, what = name.partition("_")
    return f"{CHANNELS.get(channel, channel)} {what}".replace("_", " ")


OF_CRM: Final = {
    "Records": {
        "created": "created, with their values",
        "updated": "updated, with what changed",
        "deleted": "deleted, with their last values",
        "stage_changed": "their stage changed",
        "segment_entered": "entered a segment",
        "segment_left": "left a segment",
        "contact_inactive": "nothing was heard of a contact",
    },
    "Messages": {
        "email_sent": "email sent",
        "email_delivered": "email delivered",
        "email_opened": "email opened",
        "email_clicked": "link clicked",
        "email_replied": "email answered",
        "email_bounced": "email bounced",
        "email_complained": "complaint",
        "subscribed": "subscribed to a topic",
        "unsubscribed": "unsubscribed",
        **{name: in_words(name) for name in sorted(OF_LETTERS)},
        "chat_sent": "chat message sent",
    },
    "Runs": {"run_completed": "completed", "run_failed": "failed", "run_cancelled": "cancelled"},
    "Tasks": {"task_completed": "task completed", "form_answered": "form answered"},
}


def hearable(team: Team | None) -> dict[str, dict[str, str]]:
    """Names of events by group, each with words for people; one statement for those that the team defined."""
    own = EventType.objects.filter(team=team).order_by("name").values_list("name", flat=True) if team else ()
    told = {name: name for name in sorted({*own, *BUILT_IN})}
    return {**OF_CRM, "Told by other systems": told}


def unknown_types(team: Team | None, names: list[str]) -> list[str]:
    """A sentence for each name that no event of this team has."""
    known = {name for group in hearable(team).values() for name in group}
    return [f"There is no event '{name}'{suggestion(name, known)}." for name in names if name not in known]
