"""Outgoing webhooks: who hears what, the secret shown once, what was told, a test, and replays."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from crm.auditing import audit_request
from crm.scoping import TeamScopedAdmin
from pipelines.admin.activating import counted
from pipelines.admin.links import table_time
from pipelines.engine.clock import engine_now
from pipelines.engine.outgoing.sending import send_test
from pipelines.models import Webhook, WebhookDelivery
from pipelines.operations.webhooks import make_webhook, replay, replay_since, rotate_secret, save_edited
from pipelines.triggers.heard import hearable

SHOWN = 25
SPANS = (("hour", "the last hour", timedelta(hours=1)), ("day", "the last day", timedelta(days=1)),
         ("week", "the last week", timedelta(days=7)), ("month", "the last 30 days", timedelta(days=30)))  # fmt: skip


class EventTicks(UnfoldAdminCheckboxSelectMultipleWidget):
    """Boxes to tick below the heading of their group."""

    template_name = "admin/pipelines/webhook/events.html"


class WebhookForm(forms.ModelForm[Webhook]):
    """Where to, and which events."""

    types = forms.MultipleChoiceField(
        required=False,
        label="Events",
        widget=EventTicks,
        help_text="What it hears of. None ticked means everything, also what comes with later versions.",
    )

    class Meta:
        model = Webhook
        fields = ["name", "url", "types", "enabled"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        team = getattr(self, "team", None) or (self.instance.team if self.instance.pk else None)
        groups = hearable(team)
        known = {name for group in groups.values() for name in group}
        kept = {name: name for name in (self.instance.types or ()) if name not in known}
        every = {**groups, **({"Not defined any more": kept} if kept else {})}
        field: Any = self.fields["types"]
        field.choices = [(group, list(some.items())) for group, some in every.items() if some]


@admin.register(Webhook)
class WebhookAdmin(TeamScopedAdmin[Webhook]):
    """Addresses of other systems that are told of events."""

    form = WebhookForm
    list_display = ("name", "url", "events", "is_on", "last")
    list_filter = ("enabled",)
    search_fields = ("name", "url")
    ordering = ("-id",)
    change_form_template = "admin/pipelines/webhook/form.html"
    actions_detail = ("test_page", "replay_page", "rotate_page")
    nothing = "An address added here is told of records, messages, runs and tasks the moment something happens."

    class Media:
        css = {"all": ("pipelines/pipelines.css",)}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [(None, {"fields": ["name", "url", "enabled", "types"] if obj else ["name", "url", "types"]})]

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        if change:
            save_edited(obj)
            return
        given = form.cleaned_data
        team = getattr(request, "team", None) or given.get("team")
        made, secret = make_webhook(
            team=team, name=given["name"], url=given["url"], types=given["types"], by=request.user
        )
        obj.__dict__.update(made.__dict__)
        # Handed to `response_add` on the instance, which lives for this request only.
        obj.__dict__["_secret"] = secret

    def response_add(self, request: HttpRequest, obj: Webhook, post_url_continue: str | None = None) -> HttpResponse:
        return self._show_once(request, obj, obj.__dict__.pop("_secret"))

    def _show_once(self, request: HttpRequest, webhook: Webhook, secret: str) -> HttpResponse:
        """Show the secret in this answer and nowhere else, not even in a cookie or a cache."""
        answer = self._page(request, webhook, "Outgoing webhook", "secret", secret=secret)
        add_never_cache_headers(answer)
        return answer

    def _page(self, request: HttpRequest, webhook: Webhook, title: str, name: str, **more: Any) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request), "title": title, "opts": self.opts, "webhook": webhook, **more,
        }  # fmt: skip
        return TemplateResponse(request, f"admin/pipelines/webhook/{name}.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        webhook = self.get_object(request, object_id)
        again = request.POST.get("_replay", "")
        if webhook is not None and again.isdigit() and self.has_change_permission(request, webhook):
            return self._replay_one(request, webhook, int(again))
        rows = webhook.deliveries.order_by("-pk")[:SHOWN] if webhook is not None else []
        more = {**(extra_context or {}), "deliveries": rows, "may_change": self.has_change_permission(request, webhook)}
        page: HttpResponse = super().change_view(request, object_id, form_url, more)
        return page

    def _replay_one(self, request: HttpRequest, webhook: Webhook, pk: int) -> HttpResponse:
        delivery = WebhookDelivery.objects.filter(webhook=webhook, pk=pk).first()
        if delivery is not None and replay(delivery=delivery, now=engine_now()):
            audit_request(request=request, action="webhooks.replayed", target=webhook, team=webhook.team)
            messages.success(request, f"{delivery.message_id} is posted again by the next pass.")
        return self._back(webhook)

    @action(description="Send a test", icon="science", permissions=["change"], url_path="test")
    def test_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Post an example now, and say what came back."""
        webhook = self._found(request, object_id)
        if request.method != "POST":
            return self._page(request, webhook, f"Test {webhook.name}", "test")
        answered = send_test(webhook)
        audit_request(request=request, action="webhooks.tested", target=webhook, team=webhook.team)
        if answered.accepted:
            messages.success(request, f"Accepted with {answered.status}: {answered.sentence or 'an empty answer'}")
        else:
            messages.error(request, f"Not accepted. {answered.sentence}")
        return self._back(webhook)

    @action(description="Replay", icon="replay", permissions=["change"], url_path="replay")
    def replay_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Post again what failed or was missed since a time."""
        webhook = self._found(request, object_id)
        spans = {name: span for name, _, span in SPANS}
        if request.method != "POST" or request.POST.get("since") not in spans:
            return self._page(request, webhook, f"Replay to {webhook.name}", "replay", spans=SPANS)
        now = engine_now()
        count = replay_since(webhook=webhook, since=now - spans[request.POST["since"]], now=now)
        audit_request(request=request, action="webhooks.replayed", target=webhook, team=webhook.team, deliveries=count)
        messages.success(request, f"{counted(count, 'delivery is', 'deliveries are')} posted by the next pass.")
        return self._back(webhook)

    @action(description="New secret", icon="autorenew", permissions=["change"], url_path="rotate")
    def rotate_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """After a question."""
        webhook = self._found(request, object_id)
        if request.method != "POST":
            return self._page(request, webhook, f"New secret for {webhook.name}", "rotate")
        secret = rotate_secret(webhook=webhook, now=engine_now())
        audit_request(request=request, action="webhooks.rotated", target=webhook, team=webhook.team)
        return self._show_once(request, webhook, secret)

    def _back(self, webhook: Webhook) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:pipelines_webhook_change", args=[webhook.pk]))

    def _found(self, request: HttpRequest, object_id: str) -> Webhook:
        webhook: Webhook | None = self.get_object(request, str(object_id))
        if webhook is None:
            raise Http404
        return webhook

    @display(description="Events")
    def events(self, webhook: Webhook) -> str:
        some = ", ".join(webhook.types[:3])
        return f"{some} and {len(webhook.types) - 3} more" if len(webhook.types) > 3 else some or "every event"

    @display(description="State", label={"On": "success", "Failing": "warning", "Off": "danger"})
    def is_on(self, webhook: Webhook) -> str:
        if not webhook.enabled:
            return "Off"
        return "Failing" if webhook.failing_since else "On"

    @display(description="Last accepted", ordering="last_success_at")
    def last(self, webhook: Webhook) -> str:
        return table_time(webhook.last_success_at, timezone.now())
