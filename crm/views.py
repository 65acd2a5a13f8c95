"""Pages around the admin: the team one works in, and the first password of an invited person."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.views import PasswordResetConfirmView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods

from crm.middleware import SESSION_KEY, WHOLE_INSTALLATION
from crm.models import Member, Team


@require_http_methods(["GET", "HEAD"])
@cache_control(public=True, max_age=86_400)
def favicon(request: HttpRequest) -> HttpResponse:
    """Where the icon is, for programs that ask without having read a page."""
    return redirect(static("crm/icon.svg"))


@staff_member_required
@require_http_methods(["GET", "HEAD", "POST"])
def switch_team(request: HttpRequest) -> HttpResponse:
    """Choose among one's teams; superusers choose among all, or none."""
    choices = _choices(request)
    if request.method == "POST":
        chosen = request.POST.get("team", "")
        if chosen not in {str(pk) for pk, _ in choices}:
            messages.error(request, "You do not belong to that team.")
            return redirect("switch-team")
        request.session[SESSION_KEY] = int(chosen)
        return redirect("admin:index")
    current: Any = request
    context = {
        **admin.site.each_context(request),
        "title": "Switch team",
        "choices": choices,
        "current": current.team.pk if current.team else WHOLE_INSTALLATION,
    }
    return render(request, "admin/crm/team_switch.html", context)


def _choices(request: HttpRequest) -> list[tuple[int, str]]:
    user: Any = request.user
    if user.is_superuser:
        teams = Team.objects.order_by("name").values_list("pk", "name")
        return [(WHOLE_INSTALLATION, "All teams"), *((pk, name) for pk, name in teams)]
    rows = Member.objects.filter(user=user).order_by("team__name").values_list("team_id", "team__name")
    return [(pk, name) for pk, name in rows]


class Invitation(PasswordResetConfirmView):
    """Where an invited person chooses a password; the link works once."""

    template_name = "crm/invitation.html"
    success_url = reverse_lazy("admin:login")
