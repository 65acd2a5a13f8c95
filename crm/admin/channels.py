"""Channels of a team: its providers, tried out with a real message; the devices of its contacts; who agreed to what."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from crm.auditing import audit_request
from crm.channels.providers import PROVIDERS, Provider, Setting
from crm.devices import Lost, forget
from crm.integrations import WrongSettings, browser_key, keep_settings, masked, reports_url, troubles_of
from crm.models import Device, Integration, OptIn
from crm.opt_in import WrongAddress, said_address, say
from crm.scoping import TeamScopedAdmin
from crm.trying import try_channel

NUMBER = "Number, such as +4915112345678"
TO = {"sms": NUMBER, "whatsapp": NUMBER, "push": "Token of a device"}
CARRIES = {"sms": "SMS", "push": "Push", "whatsapp": "WhatsApp", "chat": "Chat"}


class IntegrationForm(forms.ModelForm[Integration]):
    """The settings of one provider as fields; `provider` is set on the class made for it."""

    provider: Provider | None = None

    class Meta:
        model = Integration
        fields = ["enabled", "asks_consent"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.provider is None:
            return
        if self.provider.channel == "chat":
            self.fields.pop("asks_consent", None)
        known, options = masked(self.instance), self.instance.options or {}
        for each in self.provider.settings:
            if each.name in self.fields:
                self.fields[each.name].initial = "" if each.secret else options.get(each.name, each.default)
                if each.secret and each.name in known:
                    self.fields[each.name].help_text = f"Kept: {known[each.name]}. Empty leaves it as it is."

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        values = self.cleaned_data if cleaned is None else cleaned
        if self.provider is None or self.errors:
            return cleaned
        self.instance.provider = self.provider.code
        given = {each.name: values.get(each.name) or "" for each in self.provider.settings}
        try:
            keep_settings(self.instance, given)
        except WrongSettings as error:
            for name, text in error.problems.items():
                self.add_error(name if name in self.fields else None, text)
        return cleaned


def _field(setting: Setting) -> forms.CharField:
    attributes = {"autocomplete": "off"}
    widget: Any = UnfoldAdminTextInputWidget(attributes)
    if setting.long:
        widget = UnfoldAdminTextareaWidget({**attributes, "rows": 6})
    return forms.CharField(
        label=setting.label, help_text=setting.help, required=False, max_length=20_000, widget=widget
    )


def _form_for(provider: Provider) -> type[IntegrationForm]:
    fields = {setting.name: _field(setting) for setting in provider.settings}
    made: type[IntegrationForm] = type("ProviderForm", (IntegrationForm,), {**fields, "provider": provider})
    return made


@admin.register(Integration)
class IntegrationAdmin(TeamScopedAdmin[Integration]):
    """One row for each provider; its page can send a test."""

    nothing = (
        "Mail leaves by the server of this installation. For SMS, push and WhatsApp messages and for the "
        "team's chat, add who carries them; until then those of the installation are used, or steps fail and say so."
    )
    form = IntegrationForm
    list_display = ("name", "carries", "is_on", "consent", "last_test")
    list_display_links = ("name",)
    ordering = ("id",)
    actions_detail = ("test_page",)
    change_form_template = "admin/crm/integration/form.html"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        provider = self._provider(request, obj)
        if provider is None:
            return [(None, {"fields": ["enabled", "asks_consent"]})]
        consent = [] if provider.channel == "chat" else ["asks_consent"]
        names = [setting.name for setting in provider.settings]
        return [
            (provider.label, {"fields": names, "description": provider.about}),
            ("Use", {"fields": ["enabled", *consent]}),
        ]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        provider = self._provider(request, obj)
        if provider is not None:
            kwargs["form"] = _form_for(provider)
            kwargs["fields"] = ["enabled"] if provider.channel == "chat" else ["enabled", "asks_consent"]
        return super().get_form(request, obj, change=change, **kwargs)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Which provider comes first, for each is told other things."""
        if self._provider(request, None) is None and self.has_add_permission(request):
            return self._choose(request)
        page: HttpResponse = super().add_view(request, form_url, extra_context)
        return page

    def _choose(self, request: HttpRequest) -> HttpResponse:
        taken = set(self.get_queryset(request).values_list("provider", flat=True)) if _team(request) else set()
        context = {
            **self.admin_site.each_context(request),
            "title": "Add a channel",
            "opts": self.opts,
            "providers": [provider for code, provider in PROVIDERS.items() if code not in taken],
        }
        return TemplateResponse(request, "admin/crm/integration/choose.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        told = {}
        if row is not None:
            told = {"reports_url": reports_url(row), "browser_key": browser_key(row), "trouble": _trouble(row)}
        page: HttpResponse = super().change_view(request, object_id, form_url, {**(extra_context or {}), **told})
        return page

    def _provider(self, request: HttpRequest, row: Integration | None) -> Provider | None:
        return PROVIDERS.get(row.provider if row is not None else request.GET.get("provider", ""))

    @action(description="Send a test", icon="science", permissions=["change"], url_path="test")
    def test_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send one real message and say what came back."""
        row: Integration | None = self.get_object(request, str(object_id))
        if row is None:
            raise Http404
        provider = PROVIDERS.get(row.provider)
        channel = provider.channel if provider is not None else ""
        if request.method == "POST" and channel:
            tried = try_channel(team=row.team, channel=channel, to=request.POST.get("to", "")[:254], now=timezone.now())
            audit_request(request=request, action="integrations.tested", target=row, team=row.team, state=tried.state)
            tell = messages.success if tried.ok else messages.error
            tell(request, tried.says)
            return HttpResponseRedirect(reverse("admin:crm_integration_change", args=[row.pk]))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Test {row}",
            "opts": self.opts,
            "row": row,
            "asks": TO.get(channel, ""),
            "media": self.media,
        }
        return TemplateResponse(request, "admin/crm/integration/test.html", context)

    @display(description="Provider")
    def name(self, row: Integration) -> str:
        return str(row)

    @display(description="Carries")
    def carries(self, row: Integration) -> str:
        provider = PROVIDERS.get(row.provider)
        return CARRIES[provider.channel] if provider else "—"

    @display(description="State", label={"On": "success", "Off": "default"})
    def is_on(self, row: Integration) -> str:
        return "On" if row.enabled else "Off"

    @display(description="Consent")
    def consent(self, row: Integration) -> str:
        provider = PROVIDERS.get(row.provider)
        if provider is None or provider.channel == "chat":
            return "—"
        return "asked for" if row.asks_consent else "not asked for"

    @display(description="Last test")
    def last_test(self, row: Integration) -> str:
        return (
            f"{date_format(timezone.localtime(row.tested_at), 'DATETIME_FORMAT')}: {row.test_result}"
            if row.tested_at
            else "never"
        )


@admin.register(Device)
class DeviceAdmin(TeamScopedAdmin[Device]):
    """Devices register through the API; here they are seen and removed."""

    nothing = "Browsers and apps register themselves through the API, and get push messages from then on."
    list_display = ("__str__", "owner", "created_at", "seen_at")
    list_filter = ("kind",)
    ordering = ("-id",)
    fields = ("kind", "token", "owner", "created_at", "seen_at")
    readonly_fields = ("owner",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("about")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Browsers and apps register themselves."""
        return False

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        forget([Lost(obj.team_id, obj.token)])

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        forget([Lost(team_id, token) for team_id, token in queryset.values_list("team_id", "token")])

    @display(description="Of")
    def owner(self, device: Device) -> str:
        return str(device.about or "a record that is gone")


class OptInForm(forms.ModelForm[OptIn]):
    """One choice that somebody told a person of the team."""

    class Meta:
        model = OptIn
        fields = ["channel", "address", "granted", "source"]

    def clean_address(self) -> str:
        channel = str(self.data.get("channel", ""))
        try:
            return said_address(
                team_id=self.instance.team_id or 0, channel=channel, address=self.cleaned_data["address"]
            )
        except WrongAddress as error:
            raise forms.ValidationError(str(error)) from None


@admin.register(OptIn)
class OptInAdmin(TeamScopedAdmin[OptIn]):
    """Who agreed to get messages over a channel: added to, never changed; the last choice counts."""

    nothing = (
        "Who agreed to get SMS, push or WhatsApp messages: told by a form or an import through the API, by a "
        "reply such as STOP, or written down here."
    )
    form = OptInForm
    list_display = ("address", "channel", "answer", "source", "at")
    list_filter = ("channel", "granted")
    search_fields = ("address",)
    ordering = ("-id",)
    fieldsets = ((None, {"fields": ("channel", "address", "granted", "source")}),)

    def save_model(self, request: HttpRequest, obj: OptIn, form: Any, change: bool) -> None:
        team = _team(request) or obj.team
        say(
            team_id=team.pk, channel=obj.channel, address=obj.address, granted=obj.granted,
            source=obj.source or "told to the team", now=timezone.now(),
        )  # fmt: skip
        made = OptIn.objects.filter(team=team, channel=obj.channel, address=obj.address).latest("pk")
        obj.__dict__.update(made.__dict__)

    @display(description="Agreed", label={"Yes": "success", "No": "danger"})
    def answer(self, row: OptIn) -> str:
        return "Yes" if row.granted else "No"


def _trouble(row: Integration) -> str:
    provider = PROVIDERS.get(row.provider)
    return troubles_of(row.team).get(provider.channel, "") if provider is not None and row.enabled else ""


def _team(request: HttpRequest) -> Any:
    return getattr(request, "team", None)
