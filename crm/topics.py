"""What a message may be about, as people choose it: the topics of a team, and those that need no row of their own."""

from collections.abc import Collection
from typing import Final

from crm.channels.letters import NAMES
from crm.consent import USUAL
from crm.models import Team, Topic

# Named by messages that nobody can unsubscribe from.
TRANSACTIONAL: Final = "transactional"
MOST: Final = 200


def topics_of(team: Team | None) -> dict[str, str]:
    """Name by key; one statement, none without a team."""
    if team is None:
        return {}
    return dict(Topic.objects.filter(team=team).order_by("name").values_list("key", "name")[:MOST])


def topic_choices(team: Team | None) -> dict[str, str]:
    """Name by key of what steps and templates may name: the usual topic needs no row."""
    return {USUAL: USUAL.capitalize(), **topics_of(team), TRANSACTIONAL: "Cannot be unsubscribed"}


def unknown_topics(team: Team, keys: Collection[str]) -> set[str]:
    """Those that readers do not find among their preferences; none where the team keeps no topics at all.

    The names of channels are the usual topics of their messages.
    """
    wanted = set(keys) - {"", USUAL, TRANSACTIONAL, *NAMES}
    known = set(Topic.objects.filter(team=team).values_list("key", flat=True)) if wanted else set()
    return wanted - known if known else set()
