"""Teams and who belongs to them."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import display
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminTextInputWidget

from crm.auditing import audit_request
from crm.models import Member, Role, Team
from crm.people import (
    ImpossibleManager,
    LastOwner,
    add_member,
    invitation_path,
    may_grant,
    require_other_owner,
    require_possible_manager,
    set_manager,
)
from crm.scoping import TeamScopedAdmin
from crm.starters import add_starter_templates


@admin.register(Team)
class TeamAdmin(TeamScopedAdmin[Team]):
    """The team's own settings; superusers make new teams. Whoever works in a team comes straight to its page."""

    list_display = ["name", "slug", "timezone"]
    ordering = ["name", "id"]
    search_fields = ["name", "slug"]
    fieldsets = [
        (None, {"fields": ["name", "slug", "timezone"]}),
        ("Mail", {"fields": ["sender_name", "sender_email", "reply_to", "postal_address", "mail_layout"]}),
        ("Tracking", {"fields": ["track_opens", "track_clicks"]}),
    ]
    prepopulated_fields = {"slug": ["name"]}

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        team = getattr(request, "team", None)
        if team is not None and self.has_view_permission(request) and not request.GET:
            return HttpResponseRedirect(reverse("admin:crm_team_change", args=[team.pk]))
        page: HttpResponse = super().changelist_view(request, extra_context)
        return page

    def save_model(self, request: HttpRequest, obj: Team, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            add_starter_templates(team=obj)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {} if obj else super().get_prepopulated_fields(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Commands and addresses use the slug, so it stays."""
        return ["slug"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Deleting a team would delete everything it has: that is a matter for the command line."""
        return False


class GroupsField(forms.CharField):
    """Words with commas between them, kept as a list."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        names = [" ".join(part.split()) for part in str(super().clean(value)).split(",")]
        kept = list(dict.fromkeys(name for name in names if name))
        if any(len(name) > 60 for name in kept) or len(kept) > 20:
            raise forms.ValidationError("At most 20 groups of at most 60 characters.")
        return kept

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.prepare_value(initial or []) != (data or ""))


class RoleForm(forms.ModelForm[Member]):
    """Changes a role, within what the person at the keyboard may give."""

    giver: str | None = None
    myself: Any = None
    groups = GroupsField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="What this person works in, such as sales, purchasing. Pipelines can give tasks to a group.",
    )

    class Meta:
        model = Member
        fields = ["role", "groups", "manager"]

    def clean_role(self) -> str:
        role = str(self.cleaned_data["role"])
        if not may_grant(giver=self.giver, role=role):
            raise forms.ValidationError("You cannot give a role above your own.")
        if self.instance.pk:
            self._check_change(role)
        return role

    def clean_manager(self) -> Member | None:
        """Somebody new manages nobody yet; that both are of one team is looked at with the rest of the form."""
        manager: Member | None = self.cleaned_data["manager"]
        if self.instance.pk:
            try:
                require_possible_manager(member=self.instance, manager=manager)
            except ImpossibleManager as refused:
                raise forms.ValidationError(str(refused)) from refused
        return manager

    def _check_change(self, role: str) -> None:
        before = Member.objects.get(pk=self.instance.pk).role
        if not may_grant(giver=self.giver, role=before):
            raise forms.ValidationError("You cannot change the role of somebody above you.")
        if role != Role.OWNER:
            try:
                require_other_owner(self.instance)
            except LastOwner as refused:
                raise forms.ValidationError(str(refused)) from refused


class AddMemberForm(RoleForm):
    """Adds by address, so that nobody browses accounts of other teams."""

    email = forms.EmailField(
        max_length=150,
        widget=UnfoldAdminEmailInputWidget,
        help_text="A person without an account gets one, and you get a link to pass on.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        team = cleaned.get("team") or getattr(self, "current_team", None)
        taken = team and Member.objects.filter(team=team, user__email__iexact=cleaned.get("email", ""))
        if taken and taken.exists():
            self.add_error("email", "This person belongs to the team already.")
        return cleaned

    def _post_clean(self) -> None:
        """The user is found or made on saving, so the instance is not complete yet."""


@admin.register(Member)
class MemberAdmin(TeamScopedAdmin[Member]):
    """People of the team and their roles."""

    list_display = ["person", "email", "role_label", "works_in", "managed_by", "last_login", "created_at"]
    list_filter = ["role"]
    search_fields = ["user__email", "user__first_name", "user__last_name", "user__username"]
    list_select_related = ["user", "manager__user"]
    ordering = ["pk"]

    def get_queryset(self, request: HttpRequest) -> Any:
        """A member is called by the name of their account, wherever one is chosen."""
        return super().get_queryset(request).select_related("user")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "manager":
            kwargs["queryset"] = Member.objects.select_related("user")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = ["user" if obj else "email", "role", "groups", "manager"]
        return fields if self._hides_team(request, obj) else ["team", *fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return (*fields, "user") if obj else fields

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = RoleForm if obj else AddMemberForm
        form = super().get_form(request, obj, change=change, **kwargs)
        member = getattr(request, "member", None)
        form.giver = None if _superuser(request) else member.role if member else Role.VIEWER
        return form

    def save_model(self, request: HttpRequest, obj: Member, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        team = getattr(request, "team", None) or form.cleaned_data["team"]
        role, email = form.cleaned_data["role"], form.cleaned_data["email"]
        member, new_user = add_member(team=team, email=email, role=role)
        if form.cleaned_data.get("groups"):
            member.groups = form.cleaned_data["groups"]
            member.save(update_fields=["groups"])
        set_manager(member=member, manager=form.cleaned_data["manager"])
        obj.__dict__.update(member.__dict__)
        if new_user is not None:
            self._show_invitation(request, new_user)

    def _show_invitation(self, request: HttpRequest, user: User) -> None:
        link = request.build_absolute_uri(invitation_path(user))
        messages.success(request, f"Pass this link on; it works once, for three days: {link}")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody removes somebody above them, nor the last owner."""
        if not super().has_delete_permission(request, obj):
            return False
        if not isinstance(obj, Member):
            return True
        if not _superuser(request) and not may_grant(giver=_role(request), role=obj.role):
            return False
        try:
            require_other_owner(obj)
        except LastOwner:
            return False
        return True

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """The same rule, row by row, for the list's delete action."""
        for member in queryset:
            if self.has_delete_permission(request, member):
                member.delete()
            else:
                messages.error(request, f"{member} was kept: a team needs an owner, and nobody removes those above.")

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        audit_request(request=request, action="members.role", target=obj, team=obj.team, role=obj.role)
        return super().log_change(request, obj, message)

    @display(description="Name", ordering="user__last_name")
    def person(self, member: Member) -> str:
        return member.called

    @display(description="Groups")
    def works_in(self, member: Member) -> str:
        return ", ".join(member.groups) or "—"

    @display(description="Manager", ordering="manager__user__last_name")
    def managed_by(self, member: Member) -> str:
        return member.manager.called if member.manager else "—"

    @display(description="Email")
    def email(self, member: Member) -> str:
        return member.user.email

    @display(description="Last login")
    def last_login(self, member: Member) -> Any:
        return member.user.last_login

    @display(
        description="Role",
        ordering="role",
        label={"Owner": "success", "Admin": "info", "Manager": "info", "Viewer": "warning"},
    )
    def role_label(self, member: Member) -> str:
        return member.get_role_display()


def _superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


def _role(request: HttpRequest) -> str:
    member = getattr(request, "member", None)
    return member.role if member else Role.VIEWER
