"""Fields of contacts, companies and deals: the page where a team defines them."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from contacts.custom import key_from_header
from contacts.models import FieldDefinition
from contacts.own_fields import count_misfits, held_by
from crm.scoping import TeamScopedAdmin


class OptionsField(forms.CharField):
    """Texts, one on each line; the cleaned value is a list."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return _lines(self.prepare_value(initial)) != _lines(data)

    def clean(self, value: Any) -> Any:
        return _lines(super().clean(value))


def _lines(text: Any) -> list[str]:
    lines = [line.strip() for line in str(text or "").splitlines()]
    return list(dict.fromkeys(line for line in lines if line))


class FieldDefinitionForm(forms.ModelForm[FieldDefinition]):
    """A field; options are one on each line, and a key that nobody writes is made of the label."""

    key = forms.CharField(
        required=False,
        max_length=40,
        widget=UnfoldAdminTextInputWidget({"placeholder": "made of the label"}),
        help_text="How messages, conditions, files and the API name it: plan is read as contact.plan. "
        "Left empty, it is made of the label. It cannot be changed later.",
    )
    options = OptionsField(
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 5}),
        help_text="What may be chosen, one on each line; for the type Choice alone.",
    )

    class Meta:
        model = FieldDefinition
        fields = ("model", "label", "key", "type", "options", "required", "personal", "position")

    def clean(self) -> Any:
        data: dict[str, Any] = super().clean() or {}
        if "key" in self.fields and not data.get("key") and data.get("label"):
            data["key"] = key_from_header(data["label"])
        if data.get("type") != "select" and "type" in data:
            data["options"] = []
        return data


@admin.register(FieldDefinition)
class FieldDefinitionAdmin(TeamScopedAdmin[FieldDefinition]):
    """Fields of one's own, by the kind of record they are of."""

    form = FieldDefinitionForm
    list_display = ("label", "of", "code", "kind", "required", "personal")
    list_filter = ("model", "type")
    search_fields = ("label", "key")
    ordering = ("model", "position", "id")
    delete_confirmation_template = "admin/contacts/delete_field.html"
    delete_selected_confirmation_template = "admin/contacts/delete_fields.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("model", "type"), ("label", "key"), "options", ("required", "personal"), "position",
                )
            },
        ),
    )  # fmt: skip
    nothing = (
        "A field gives values of contacts, companies and deals a label, a type and options: the plan of a contact, "
        "the number of seats of a company. It then stands on their pages, in imports and in conditions."
    )

    class Media:
        css = {"all": ("contacts/contacts.css",)}
        js = ("contacts/field_definitions.js",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Steps and files name a field by its key, so it stays."""
        fields = super().get_readonly_fields(request, obj)
        return (*fields, "model", "key") if obj is not None else fields

    @display(description="Of", ordering="model")
    def of(self, field: FieldDefinition) -> str:
        return field.get_model_display()

    @display(description="Key", ordering="key")
    def code(self, field: FieldDefinition) -> str:
        return f"{field.model.rpartition('.')[2]}.{field.key}"

    @display(description="Type", ordering="type", label=True)
    def kind(self, field: FieldDefinition) -> str:
        return field.get_type_display()

    def save_model(self, request: HttpRequest, obj: FieldDefinition, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change or {"type", "options"} & set(form.changed_data):
            request.__dict__["_to_count"] = obj

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """All values are read when the transaction that saves has ended, so that no row waits for it."""
        answer = super().changeform_view(request, object_id, form_url, extra_context)
        saved = request.__dict__.pop("_to_count", None)
        if saved is not None:
            self._tell_misfits(request, saved)
        return answer

    def _tell_misfits(self, request: HttpRequest, field: FieldDefinition) -> None:
        """Values from before stay; those that do not fit are named by their number."""
        wrong = count_misfits(definition=field)
        if wrong:
            what = "1 value that is" if wrong == 1 else f"{wrong:,} values that are"
            messages.warning(
                request,
                f"{what} there already {'does' if wrong == 1 else 'do'} not fit this field. "
                f"Nothing was changed: {'it stays' if wrong == 1 else 'they stay'} until somebody writes another.",
            )

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        field = self.get_object(request, object_id) if request.method == "GET" else None
        held = held_by(definition=field).count() if field is not None else 0
        answer: HttpResponse = super().delete_view(request, object_id, {"held": held, **(extra_context or {})})
        return answer
