"""Where the resources of this app stand in the API."""

from django.urls import URLPattern

from crm.api import consent, views
from crm.api.router import TeamRouter

urlpatterns: list[URLPattern] = []


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
