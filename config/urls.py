"""Addresses of the whole."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from config import dashboard
from crm import file_pages, health, mailbox, providers
from crm.confirming import confirm_page
from crm.errors import no_such_endpoint
from crm.preferences import choose, preferences
from crm.tracking.views import track_click, track_open
from crm.unsubscribe import unsubscribe
from crm.views import Invitation, favicon, switch_team
from pipelines.admin.calendar import calendar_page
from pipelines.admin.explaining import explain_page
from pipelines.admin.letters import template_preview
from pipelines.admin.simulating import simulated_html
from pipelines.people import inbox
from pipelines.people.answering import answer_task

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("favicon.ico", favicon, name="favicon"),
    *mailbox.urls(),
    *file_pages.urls(),
    path("admin/team/", switch_team, name="switch-team"),
    path("invitation/<uidb64>/<token>/", Invitation.as_view(), name="invitation"),
    path("admin/notifications/read/", admin.site.admin_view(dashboard.read_notifications), name="read-notifications"),
    path("admin/inbox/", admin.site.admin_view(inbox.inbox), name="inbox"),
    path("admin/inbox/<int:pk>/<slug:deed>/", admin.site.admin_view(inbox.work), name="inbox-work"),
    path("admin/explain/<str:label>/<int:pk>/", admin.site.admin_view(explain_page), name="explain"),
    path("admin/calendar/<int:pk>/", admin.site.admin_view(calendar_page), name="calendar"),
    path("admin/simulated/<slug:token>/", admin.site.admin_view(simulated_html), name="simulated-html"),
    path("admin/templates/<int:pk>/preview/", admin.site.admin_view(template_preview), name="template-preview"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("config.api")),
    re_path(r"^api(?:/.*)?$", no_such_endpoint),
    path("u/<str:token>/", unsubscribe, name="unsubscribe"),
    path("u/<str:token>/choose/", choose, name="choose"),
    path("p/<str:token>/", preferences, name="preferences"),
    path("y/<str:token>/", confirm_page, name="confirm"),
    path("anymail/", include((providers.urls(), "anymail"))),
    path("c/<str:token>/", track_click, name="track-click"),
    path("o/<str:token>.gif", track_open, name="track-open"),
    path("t/<str:token>/", answer_task, name="answer-task"),
    path("health/", health.ready, name="health"),
    path("health/live/", health.live, name="health-live"),
    path("health/ready/", health.ready, name="health-ready"),
]

handler400 = "crm.errors.bad_request"
handler403 = "crm.errors.forbidden"
handler404 = "crm.errors.not_found"
handler500 = "crm.errors.broken"
