"""What can be done to many contacts at once: each asks for its value first, and has its permission."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminSelectWidget

from contacts import hooks, operations
from contacts.admin.exporting import ExportPage
from contacts.admin.fields import TagNamesField
from contacts.merging import MAX_OTHERS
from contacts.models import Contact
from crm.auditing import audit_request
from crm.scoping import rows_of_team

MOST = 20_000
UNCHOSEN = ("", "Choose…")
Perform = Callable[[Any, list[int]], str]


class StageForm(forms.Form):
    """The new stage."""

    value = forms.ChoiceField(label="Stage", choices=[UNCHOSEN, *Contact.Stage.choices], widget=UnfoldAdminSelectWidget)


class OwnerForm(forms.Form):
    """A member of the team, or nobody."""

    value = forms.ModelChoiceField(
        label="Owner",
        queryset=User.objects.none(),
        required=False,
        empty_label="Nobody",
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, *args: Any, team: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["value"]
        members = rows_of_team(model=User, team=team)
        field.queryset = members.filter(is_active=True).order_by("email").distinct()


class TagForm(forms.Form):
    """Tags by name."""

    value = TagNamesField()


class PipelineChoiceForm(forms.Form):
    """One of the active pipelines."""

    value = forms.ChoiceField(label="Pipeline", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, team: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["value"]
        offered = hooks.manual_pipelines.choices(team=team, model=Contact)
        field.choices = [UNCHOSEN, *((choice.id, choice.name) for choice in offered)] if offered else []


class BulkActions(ExportPage):
    """Mixed into the page of contacts."""

    admin_site: Any
    opts: Any
    actions = ("set_stage", "assign_owner", "add_tags", "enroll_selected", "export_selected", "merge_selected")

    @admin.action(description="Set the stage…", permissions=["bulk"])
    def set_stage(self, request: HttpRequest, queryset: QuerySet[Contact]) -> HttpResponse | None:
        def perform(value: Any, ids: list[int]) -> str:
            team = _team_of(queryset)
            count = operations.bulk_update_contacts(team=team, ids=ids, values={"lifecycle_stage": value})
            return f"{_contacts(count)} changed: {dict(Contact.Stage.choices)[value].lower()}."

        return self._ask(request, queryset, "set_stage", "Set the stage", StageForm, perform)

    @admin.action(description="Assign an owner…", permissions=["bulk"])
    def assign_owner(self, request: HttpRequest, queryset: QuerySet[Contact]) -> HttpResponse | None:
        def perform(value: Any, ids: list[int]) -> str:
            count = operations.bulk_update_contacts(team=_team_of(queryset), ids=ids, values={"owner": value})
            return f"{_contacts(count)} changed: owned by {value or 'nobody'}."

        return self._ask(request, queryset, "assign_owner", "Assign an owner", OwnerForm, perform)

    @admin.action(description="Add tags…", permissions=["bulk"])
    def add_tags(self, request: HttpRequest, queryset: QuerySet[Contact]) -> HttpResponse | None:
        def perform(value: Any, ids: list[int]) -> str:
            count = operations.bulk_tag(team=_team_of(queryset), ids=ids, names=value)
            return f"{_contacts(count)} tagged."

        return self._ask(request, queryset, "add_tags", "Add tags", TagForm, perform)

    @admin.action(description="Put into a pipeline…", permissions=["bulk"])
    def enroll_selected(self, request: HttpRequest, queryset: QuerySet[Contact]) -> HttpResponse | None:
        def perform(value: Any, ids: list[int]) -> str:
            user: Any = request.user
            entered = hooks.manual_pipelines.enroll(
                team=_team_of(queryset), model=Contact, pipeline=int(value), ids=ids, by=user
            )
            return f"{entered} of {_contacts(len(ids))} entered." + (
                " The others were in it already or may not enter." if entered < len(ids) else ""
            )

        return self._ask(request, queryset, "enroll_selected", "Put into a pipeline", PipelineChoiceForm, perform)

    @admin.action(description="Merge into one…", permissions=["merge"])
    def merge_selected(self, request: HttpRequest, queryset: QuerySet[Contact]) -> HttpResponse | None:
        ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: MAX_OTHERS + 2])
        if not 2 <= len(ids) <= MAX_OTHERS + 1:
            messages.error(request, f"Choose two to {MAX_OTHERS + 1} contacts to merge.")
            return None
        query = urlencode({"id": ids}, doseq=True)
        return HttpResponseRedirect(f"{reverse('admin:contacts_contact_merge')}?{query}")

    def _ask(
        self, request: HttpRequest, queryset: QuerySet[Contact], name: str, title: str, shape: Any, perform: Perform
    ) -> HttpResponse | None:
        """Show the form; once it is filled in, do it and return to the list."""
        teams = set(queryset.order_by().values_list("team_id", flat=True).distinct()[:2])
        if len(teams) != 1:
            messages.error(request, "Choose contacts of one team.")
            return None
        ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: MOST + 1])
        if len(ids) > MOST:
            messages.error(request, f"Choose at most {MOST:,} contacts at once.")
            return None
        needs_team = shape in (OwnerForm, PipelineChoiceForm)
        more = {"team": _team_of(queryset)} if needs_team else {}
        form = shape(request.POST if "value" in request.POST else None, **more)
        if form.is_bound and form.is_valid():
            self._perform(request, form.cleaned_data["value"], ids, perform, name)
            return None
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts, "title": title, "form": form, "action": name, "count": len(ids),
            "selected": request.POST.getlist("_selected_action"), "across": request.POST.get("select_across", "0"),
        }  # fmt: skip
        return TemplateResponse(request, "admin/contacts/bulk.html", context)

    def _perform(self, request: HttpRequest, value: Any, ids: list[int], perform: Perform, name: str) -> None:
        try:
            messages.success(request, perform(value, ids))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return
        audit_request(request=request, action=f"contacts.{name}", contacts=len(ids))


def _team_of(queryset: QuerySet[Contact]) -> Any:
    return queryset.select_related("team").order_by("pk")[0].team


def _contacts(count: int) -> str:
    return f"{count:,} contact{'' if count == 1 else 's'}"
