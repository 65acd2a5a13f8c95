"""Words and names that the pages of people share."""

from crm.models import Member, Team
from pipelines.actions.people import COMPLETED
from pipelines.definition.forms import spoken_name

MOST_PEOPLE = 200


def outcome_words(name: str) -> str:
    """What the button of an answer says."""
    return "Done" if name == COMPLETED else spoken_name(name)


def people_of(team: Team) -> list[tuple[int, str]]:
    """Members of a team by name, for choosing one."""
    rows = Member.objects.filter(team=team, user__is_active=True).select_related("user").order_by("pk")[:MOST_PEOPLE]
    return sorted(
        ((row.user.pk, row.user.get_full_name() or row.user.get_username()) for row in rows),
        key=lambda one: one[1].lower(),
    )


def team_zone(team: Team) -> str:
    """The time zone as people say it."""
    return team.timezone.replace("_", " ")
