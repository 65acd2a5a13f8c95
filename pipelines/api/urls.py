"""Where the resources of this app stand in the API."""

from django.urls import URLPattern, path

from crm.api.router import TeamRouter
from pipelines.api.automatic import AutomaticViewSet
from pipelines.api.calendar import CalendarView
from pipelines.api.engine import BareCronView, BareEvaluateView, CronView, EvaluateView, LogView, StatusView, TickView
from pipelines.api.events import EventTypeViewSet, EventViewSet
from pipelines.api.explaining import ExplainView
from pipelines.api.hook_deliveries import HookDeliveryViewSet
from pipelines.api.hooks import receive_hook
from pipelines.api.letters import TemplatePreviewView
from pipelines.api.pipelines import PipelineViewSet
from pipelines.api.recipes import RecipesView, RecipeView, UseRecipeView
from pipelines.api.runs import DecisionViewSet, RunViewSet
from pipelines.api.sending import SendingRulesViewSet
from pipelines.api.simulating import TriggersTestView
from pipelines.api.webhooks import WebhookDeliveryViewSet, WebhookViewSet

urlpatterns: list[URLPattern] = [
    path("contacts/<int:pk>/explain/", ExplainView.as_view(), name="contact-explain"),
    path("contacts/<int:pk>/calendar/", CalendarView.as_view(), name="contact-calendar"),
    path("triggers/test/", TriggersTestView.as_view(), name="triggers-test"),
    path("pipelines/<slug:pk>/picture.svg", PipelineViewSet.as_view({"get": "picture"}), name="pipelines-picture"),
    path("templates/<int:pk>/preview/", TemplatePreviewView.as_view(), name="template-preview-api"),
    path("recipes/", RecipesView.as_view(), name="recipes"),
    path("recipes/<slug:key>/", RecipeView.as_view(), name="recipe"),
    path("recipes/<slug:key>/use/", UseRecipeView.as_view(), name="recipe-use"),
    path("status/", StatusView.as_view(), name="status"),
    path("logs/", LogView.as_view(), name="logs"),
    path("engine/tick/", TickView.as_view(), name="engine-tick"),
    path("expressions/evaluate/", EvaluateView.as_view(), name="expressions-evaluate"),
    path("cron/next/", CronView.as_view(), name="cron-next"),
    path("hooks/<str:token>/", receive_hook, name="hook"),
    path("hooks/<str:token>", receive_hook),
    path("expressions/evaluate", BareEvaluateView.as_view()),
    path("cron/next", BareCronView.as_view()),
]


def register(router: TeamRouter) -> None:
    """Add every resource of this app."""
    router.register("pipelines", PipelineViewSet)
    router.register("automatic-pipelines", AutomaticViewSet)
    router.register("events", EventViewSet)
    router.register("event-types", EventTypeViewSet)
    router.register("pipeline-runs", RunViewSet)
    router.register("sending-rules", SendingRulesViewSet)
    router.register("enrollment-decisions", DecisionViewSet)
    router.register("webhooks", WebhookViewSet)
    router.register("webhook-deliveries", WebhookDeliveryViewSet)
    router.register("hook-deliveries", HookDeliveryViewSet)
