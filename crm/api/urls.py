"""Where the resources of this app stand in the API."""

from django.urls import URLPattern, path

from crm.api import channels, consent, secrets, views
from crm.api.router import TeamRouter
from crm.inbound.channel_views import channel_reports

urlpatterns: list[URLPattern] = [
    path("channels/<str:token>/", channel_reports, name="channel-reports"),
]


def register(router: TeamRouter) -> None:
    """Add every resource of this app."""
    router.register("teams", views.TeamViewSet)
    router.register("members", views.MemberViewSet)
    router.register("api-keys", views.ApiKeyViewSet)
    router.register("tasks", views.TaskViewSet)
    router.register("messages", views.MessageViewSet)
    router.register("message-events", views.MessageEventViewSet)
    router.register("templates", views.TemplateViewSet)
    router.register("suppressions", views.SuppressionViewSet)
    router.register("topics", consent.TopicViewSet)
    router.register("subscriptions", consent.SubscriptionViewSet)
    router.register("consents", consent.ConsentViewSet)
    router.register("integrations", channels.IntegrationViewSet)
    router.register("secrets", secrets.SecretViewSet)
    router.register("devices", channels.DeviceViewSet)
    router.register("opt-ins", channels.OptInViewSet)
