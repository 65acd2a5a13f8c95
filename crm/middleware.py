"""Which team a signed-in person works in right now."""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from crm.models import Member, Team

SESSION_KEY = "team"
WHOLE_INSTALLATION = 0


class CurrentTeam:
    """Sets `request.team` and `request.member` from the session's choice or the first membership."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        set_current_team(request=request)
        team: Team | None = request.team  # type: ignore[attr-defined]
        # Pages tell times as the team lives them; the API always answers in UTC.
        with timezone.override(ZoneInfo(team.timezone) if team else None):
            return self.get_response(request)


def set_current_team(*, request: Any) -> None:
    """Look membership up anew on every request, so that ending it ends access at once."""
    request.team, request.member = None, None
    if not request.user.is_authenticated:
        return
    chosen = request.session.get(SESSION_KEY)
    if request.user.is_superuser and chosen == WHOLE_INSTALLATION:
        return
    memberships = list(Member.objects.filter(user=request.user).select_related("team").order_by("pk"))
    member = next((each for each in memberships if each.team_id == chosen), None)
    if member is None and request.user.is_superuser and chosen:
        request.team = Team.objects.filter(pk=chosen).first()
        return
    member = member or next(iter(memberships), None)
    if member is not None:
        request.member, request.team = member, member.team
