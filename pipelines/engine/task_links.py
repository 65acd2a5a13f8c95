"""The link in the mail about a task: it stands for one person and one task, and for a limited time."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.conf import settings
from django.core import signing
from django.urls import reverse

_SALT: Final = "pipelines.human-task"
# Stored messages hold this in place of the link, so that whoever may read messages cannot answer for others.
_PLACE: Final = re.compile(r"⟦task:(\d{1,18}):(\d{1,18}):(\d{1,12})⟧")


@dataclass(frozen=True, slots=True)
class TaskLink:
    """Which person may answer which form, and until when."""

    human_id: int
    user_id: int
    until: datetime

    @property
    def place(self) -> str:
        """What a stored message says instead of the link."""
        return f"⟦task:{self.human_id}:{self.user_id}:{int(self.until.timestamp())}⟧"


def seal(link: TaskLink) -> str:
    """The link as a signed token."""
    return signing.dumps([link.human_id, link.user_id, int(link.until.timestamp())], salt=_SALT)


def unseal(token: str) -> TaskLink | None:
    """The link of a token, also when its time is over; None when it was not made here."""
    try:
        human_id, user_id, until = signing.loads(token, salt=_SALT)
        return TaskLink(int(human_id), int(user_id), datetime.fromtimestamp(until, UTC))
    except (signing.BadSignature, TypeError, ValueError):
        return None


def link_url(link: TaskLink) -> str:
    """The absolute address of the page with the form."""
    return f"{settings.BASE_URL}{reverse('answer-task', args=[seal(link)])}"


def fill_links(text: str) -> str:
    """A message about a task with its link put in, as it leaves."""

    def url(found: re.Match[str]) -> str:
        until = datetime.fromtimestamp(int(found[3]), UTC)
        return link_url(TaskLink(int(found[1]), int(found[2]), until))

    return _PLACE.sub(url, text)
