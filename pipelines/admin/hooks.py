"""Incoming webhooks: opened here, their address and secret shown once, with what came in and a way to try them."""

import json
import time
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from crm.admin.topic_field import offer_topics
from crm.auditing import audit_request
from crm.models import Topic
from crm.scoping import TeamScopedAdmin
from crm.sealing import SealBroken, unseal
from crm.signatures import sign
from crm.topics import topics_of
from pipelines.admin.links import table_time
from pipelines.admin.taking_in import TakingIn
from pipelines.definition.values import ParameterError, compile_value
from pipelines.engine.clock import engine_now
from pipelines.engine.filling import fillable, strangers
from pipelines.engine.incoming import work_off
from pipelines.models import Hook, HookDelivery, Trigger
from pipelines.triggers.hooks import NotAccepted, Opened, open_hook, receive, renew_hook

SHOWN = 25
SAMPLE = {"email": "ada@example.org", "first_name": "Ada"}
# What most forms post; a field that is not posted stays empty.
USUAL_FIELDS = {name: f"{{{{ trigger.{name} }}}}" for name in ("first_name", "last_name", "phone")}
STATES = {
    HookDelivery.State.RECEIVED: "waiting",
    HookDelivery.State.DONE: "done",
    HookDelivery.State.FAILED: "failed",
}


class _Object(forms.JSONField):
    """An object of JSON; none is shown as nothing."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value in (None, "null") else super().prepare_value(value)


class HookForm(forms.ModelForm[Hook]):
    """Which pipeline, under which name, signed or not."""

    current_team: Any = None
    signed = forms.BooleanField(
        required=False,
        initial=True,
        label="Ask for a signature",
        widget=UnfoldBooleanSwitchWidget(),
        help_text="By Standard Webhooks. Without it, whoever learns the address can post anything in anybody's name.",
    )
    fields_of_new = _Object(
        required=False,
        label="Fields of new contacts",
        widget=UnfoldAdminTextareaWidget({"rows": 4, "placeholder": '{"first_name": "{{ trigger.first_name }}"}'}),
        help_text="What a contact gets that is made because nobody has the address that was posted: "
        "on the left its field, on the right what of the body fills it, such as {{ trigger.name.first }}.",
    )

    class Meta:
        model = Hook
        fields = ["name", "trigger", "topic", "enabled"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["fields_of_new"].initial = self.instance.fields or None
            self.fields.pop("signed", None)
        else:
            self.fields["fields_of_new"].initial = USUAL_FIELDS
        team = self.instance.team if self.instance.pk else self.current_team
        if team is not None and "topic" in self.fields:
            offer_topics(self, topics_of(team), empty="None")
            self.fields["topic"].help_text = "What the posted address subscribes to; empty is nothing."

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        topic, trigger = self.cleaned_data.get("topic"), self.cleaned_data.get("trigger")
        team = trigger.pipeline.team if trigger else self.instance.team if self.instance.pk else None
        if topic and team and not Topic.objects.filter(team=team, key=topic).exists():
            self.add_error("topic", "This team has no such topic: make it under Topics first.")
        for sentence in strangers(team=team, names=self.cleaned_data.get("fields_of_new") or ()) if team else ():
            self.add_error("fields_of_new", sentence)
        return cleaned

    def clean_fields_of_new(self) -> dict[str, Any]:
        found = self.cleaned_data["fields_of_new"] or {}
        if not isinstance(found, dict):
            raise forms.ValidationError("Write an object of fields and values.")
        try:
            compile_value(found)
        except ParameterError as error:
            raise forms.ValidationError(f"{error.path}: {error.message}" if error.path else error.message) from None
        return found


class TestForm(forms.Form):
    """A body to post."""

    body = forms.CharField(strip=False, label="Body", widget=UnfoldAdminTextareaWidget({"rows": 8}))


@admin.register(Hook)
class HookAdmin(TakingIn, TeamScopedAdmin[Hook]):
    """Addresses that other systems post to."""

    nothing = "A shop, a form or any other system posts to an address made here; whom it posts about enters a pipeline."
    form = HookForm
    list_display = ("name", "leads_to", "guard", "is_on", "received_total", "refused_total", "last")
    list_filter = ("enabled",)
    search_fields = ("name",)
    list_select_related = ("trigger__pipeline",)
    ordering = ("-id",)
    change_form_template = "admin/pipelines/hook/form.html"
    actions_detail = ("test_page", "renew_page")

    class Media:
        css = {"all": ("pipelines/pipelines.css",)}
        js = tuple(f"pipelines/{name}.js" for name in ("dom", "conditions", "lists", "parameters", "rules", "hooks"))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = ["name", "leads_to", "enabled", "topic", "fields_of_new"]
        return [(None, {"fields": shown if obj else ["name", "trigger", "signed", "topic", "fields_of_new"]})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("leads_to",) if obj is not None else ()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "trigger" and field is not None:
            field.queryset = (
                field.queryset.filter(kind=Trigger.Kind.WEBHOOK, hook=None)
                .select_related("pipeline")
                .order_by("pipeline__name", "id")
            )
            field.label_from_instance = lambda row: f"{row.pipeline.name} › {row.key or 'webhook'}"
            field.widget = getattr(field.widget, "widget", field.widget)
            field.help_text = (
                "Pipelines with a webhook trigger that has no address yet. "
                "A pipeline gets one on its page, under “Other triggers”."
            )
        return field

    def save_model(self, request: HttpRequest, obj: Hook, form: Any, change: bool) -> None:
        if change:
            obj.fields = form.cleaned_data["fields_of_new"]
            super().save_model(request, obj, form, change)
            return
        opened = open_hook(
            trigger=form.cleaned_data["trigger"],
            name=obj.name,
            signed=form.cleaned_data["signed"],
            fields=form.cleaned_data["fields_of_new"],
            topic=form.cleaned_data["topic"],
            by=request.user,
        )
        obj.__dict__.update(opened.hook.__dict__)
        # Handed to `response_add` on the instance, which lives for this request only.
        obj.__dict__["_opened"] = opened

    def response_add(self, request: HttpRequest, obj: Hook, post_url_continue: str | None = None) -> HttpResponse:
        return self._show_once(request, obj.__dict__.pop("_opened"))

    def _show_once(self, request: HttpRequest, opened: Opened) -> HttpResponse:
        """Show address and secret in this answer and nowhere else, not even in a cookie or a cache."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Incoming webhook",
            "hook": opened.hook,
            "address": request.build_absolute_uri(reverse("hook", args=[opened.token])),
            "secret": opened.secret,
            "sample": json.dumps(SAMPLE),
        }
        answer = TemplateResponse(request, "admin/pipelines/hook/opened.html", context)
        add_never_cache_headers(answer)
        return answer

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        hook = self.get_object(request, object_id)
        rows = HookDelivery.objects.filter(hook=hook).order_by("-pk")[:SHOWN] if hook is not None else []
        lines = [
            {
                "row": row,
                "state": STATES[HookDelivery.State(row.state)],
                "body": json.dumps(row.body, ensure_ascii=False),
            }
            for row in rows
        ]
        more = {
            **(extra_context or {}),
            "deliveries": lines,
            "may_take_in": hook is not None and self.has_take_in_permission(request, hook),
        }
        page: HttpResponse = super().change_view(request, object_id, form_url, more)
        return page

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        offered = fillable(team=getattr(request, "team", None))
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), "offered": offered})

    @action(description="Test", icon="science", permissions=["change"], url_path="test")
    def test_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Post something to it as its sender would, and say what came of it."""
        hook = self._found(request, object_id)
        form = TestForm(request.POST if request.method == "POST" else None, initial={"body": json.dumps(SAMPLE)})
        if request.method == "POST" and form.is_valid():
            self._post(request, hook, form.cleaned_data["body"].encode("utf-8", "replace"))
            return HttpResponseRedirect(reverse("admin:pipelines_hook_change", args=[hook.pk]))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Test {hook.name}",
            "opts": self.opts,
            "hook": hook,
            "form": form,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/pipelines/hook/test.html", context)

    def _post(self, request: HttpRequest, hook: Hook, body: bytes) -> None:
        now = timezone.now()
        message_id = f"test-{time.time_ns()}"
        headers = {"webhook-id": message_id, "webhook-timestamp": str(int(now.timestamp()))}
        try:
            if hook.is_signed:
                stamp = int(now.timestamp())
                headers["webhook-signature"] = sign(
                    secret=unseal(hook.secret), message_id=message_id, timestamp=stamp, body=body
                )
            receive(hook=hook, headers=headers, body=body, now=now)
        except (NotAccepted, SealBroken) as error:
            messages.error(request, str(error))
            return
        audit_request(request=request, action="hooks.tested", target=hook, team=hook.team)
        work_off(now=engine_now())
        outcome = HookDelivery.objects.get(hook=hook, message_id=message_id)
        tell = messages.success if outcome.run_id else messages.warning
        tell(request, f"Received; {outcome.outcome or 'waiting for the next pass'}.")

    @action(description="New address and secret", icon="autorenew", permissions=["change"], url_path="renew")
    def renew_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """After a question, for the old ones stop at once."""
        hook = self._found(request, object_id)
        if request.method == "POST":
            opened = renew_hook(hook=hook, signed="unsigned" not in request.POST)
            audit_request(request=request, action="hooks.renewed", target=hook, team=hook.team)
            return self._show_once(request, opened)
        context = {
            **self.admin_site.each_context(request),
            "title": f"New address for {hook.name}",
            "opts": self.opts,
            "hook": hook,
        }
        return TemplateResponse(request, "admin/pipelines/hook/renew.html", context)

    def _found(self, request: HttpRequest, object_id: str) -> Hook:
        hook: Hook | None = self.get_object(request, str(object_id))
        if hook is None:
            raise Http404
        return hook

    @display(description="Pipeline", ordering="trigger__pipeline__name")
    def leads_to(self, hook: Hook) -> str:
        return hook.trigger.pipeline.name

    @display(description="Guard", label={"Signed": "success", "Address only": "warning"})
    def guard(self, hook: Hook) -> str:
        return "Signed" if hook.is_signed else "Address only"

    @display(description="State", ordering="enabled", label={"Open": "success", "Closed": "default"})
    def is_on(self, hook: Hook) -> str:
        return "Open" if hook.enabled else "Closed"

    @display(description="Last received", ordering="last_received_at")
    def last(self, hook: Hook) -> str:
        return table_time(hook.last_received_at, timezone.now())
