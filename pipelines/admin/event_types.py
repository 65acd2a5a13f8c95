"""Kinds of events that a team expects: a name, what it carries, an example."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from crm.scoping import TeamScopedAdmin
from pipelines.models import EventType, Trigger
from pipelines.triggers.told import type_problems

SCHEMA = '{"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}}'


class JsonField(forms.JSONField):
    """An object of JSON; none is shown as nothing."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value in (None, "null") else super().prepare_value(value)


class EventTypeForm(forms.ModelForm[EventType]):
    """The schema must be one, and the sample must fit it."""

    schema = JsonField(
        required=False,
        label="Schema",
        widget=UnfoldAdminTextareaWidget({"rows": 8, "placeholder": SCHEMA, "class": "pl-code"}),
        help_text="A JSON Schema of what the event carries. Events that do not fit are refused. Empty takes anything.",
    )
    sample = JsonField(
        required=False,
        label="Example",
        widget=UnfoldAdminTextareaWidget({"rows": 6, "placeholder": '{"total": 42}', "class": "pl-code"}),
        help_text="What such an event carries, for tests and for whoever writes conditions.",
    )

    class Meta:
        model = EventType
        fields = ["name", "description", "schema", "sample"]

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        given = self.cleaned_data
        for wrong in type_problems(given.get("name", ""), given.get("schema"), given.get("sample")):
            name, _, inside = wrong.path.partition(".")
            self.add_error(
                name if name in self.fields else None, f"{inside}: {wrong.message}" if inside else wrong.message
            )
        return cleaned


@admin.register(EventType)
class EventTypeAdmin(TeamScopedAdmin[EventType]):
    """What other systems may tell."""

    form = EventTypeForm
    list_display = ("name", "description", "is_checked", "created_at")
    search_fields = ("name", "description")
    ordering = ("name", "id")
    fields = ("name", "description", "schema", "sample")
    nothing = "Events such as order.paid, told through the API, start pipelines and are waited for by them."

    class Media:
        css = {"all": ("pipelines/pipelines.css",)}

    @display(description="Checked", label={"Schema": "success", "Anything": "default"})
    def is_checked(self, row: EventType) -> str:
        return "Schema" if row.schema else "Anything"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A name that a trigger listens to stays."""
        fixed = super().get_readonly_fields(request, obj)
        used = obj is not None and Trigger.objects.filter(event=obj.name, pipeline__team=obj.team).exists()
        return (*fixed, "name") if used else fixed
