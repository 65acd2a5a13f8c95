"""API keys: made here, shown once, revoked with a click."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from crm.auditing import audit_request
from crm.keys import SCOPES, create_key, revoke_keys
from crm.models import ApiKey
from crm.people import may_grant
from crm.scoping import TeamScopedAdmin


class ApiKeyForm(forms.ModelForm[ApiKey]):
    """A key gets at most the role of whoever makes it."""

    giver: str | None = None
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None chosen means everything the role may do.",
    )

    class Meta:
        model = ApiKey
        fields = ["name", "role", "scopes", "expires_at"]

    def clean_role(self) -> str:
        role = str(self.cleaned_data["role"])
        if not may_grant(giver=self.giver, role=role):
            raise forms.ValidationError("A key cannot have a role above your own.")
        return role


@admin.register(ApiKey)
class ApiKeyAdmin(TeamScopedAdmin[ApiKey]):
    """Keys of the team; after creation only the name can change."""

    nothing = "A key lets another program work with what this team has, within a role and its scopes."
    form = ApiKeyForm
    list_display = ["name", "prefix", "role", "state", "last_used_at", "expires_at", "created_by"]
    list_filter = ["role"]
    search_fields = ["name", "prefix"]
    list_select_related = ["created_by"]
    ordering = ["-id"]
    actions = ["revoke"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = ["name", "role", "scopes", "expires_at"]
        if obj:
            fields += ["prefix", "created_by", "created_at", "last_used_at", "revoked_at"]
        return fields if self._hides_team(request, obj) else ["team", *fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return []
        return [field for field in self.get_fields(request, obj) if field != "name"]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            kwargs["form"] = forms.ModelForm
        form = super().get_form(request, obj, change=change, **kwargs)
        member = getattr(request, "member", None)
        form.giver = None if getattr(request.user, "is_superuser", False) or member is None else member.role
        return form

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        key, token = create_key(
            team=getattr(request, "team", None) or obj.team,
            name=obj.name,
            role=obj.role,
            scopes=obj.scopes,
            expires_at=obj.expires_at,
            created_by=request.user,
        )
        obj.__dict__.update(key.__dict__)
        # Handed to `response_add` on the instance, which lives for this request only.
        obj.__dict__["_token"] = token

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the token in this answer and nowhere else, not even in a cookie or a cache."""
        context = {
            **self.admin_site.each_context(request),
            "title": "API key",
            "key": obj,
            "token": obj.__dict__.pop("_token"),
        }
        response = TemplateResponse(request, "admin/crm/apikey/created.html", context)
        add_never_cache_headers(response)
        return response

    @admin.action(description="Revoke selected keys", permissions=["delete"])
    def revoke(self, request: HttpRequest, queryset: Any) -> None:
        for key in queryset.filter(revoked_at__isnull=True):
            audit_request(request=request, action="api-keys.revoked", target=key, team=key.team)
        count = revoke_keys(keys=queryset, now=timezone.now())
        messages.success(request, f"{count} keys revoked. They stopped working at once.")

    @display(description="State", label={"Live": "success", "Revoked": "danger", "Expired": "warning"})
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "Revoked"
        return "Live" if key.is_live(timezone.now()) else "Expired"
