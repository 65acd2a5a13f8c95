"""Making teams."""

from django.db import transaction

from crm.models import Team
from crm.starters import add_starter_templates


@transaction.atomic
def create_team(*, name: str, slug: str, timezone: str = "UTC") -> Team:
    """A new team with the message templates every team begins with."""
    team = Team(name=name, slug=slug, timezone=timezone)
    team.full_clean()
    team.save()
    add_starter_templates(team=team)
    return team
