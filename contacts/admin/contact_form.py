"""The form of a contact: tags as words, custom values as JSON, pipelines as boxes to tick."""

import json
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from contacts import custom, hooks
from contacts.models import Contact
from contacts.tagging import MAX_NAME, clean_names

FIELDS = (
    "first_name", "last_name", "email", "phone", "job_title", "company", "owner", "lifecycle_stage", "lead_source",
    "timezone", "language", "last_interaction", "custom",
)  # fmt: skip
NAMING = ("first_name", "last_name", "email", "phone")


class ContactForm(forms.ModelForm[Contact]):
    """Everything a person may set; what is chosen is written by one operation."""

    current_team: Any = None
    tag_names = forms.CharField(
        label="Tags",
        required=False,
        widget=UnfoldAdminTextInputWidget({"placeholder": "vip, newsletter"}),
        help_text="Words separated by commas.",
    )
    custom = forms.JSONField(
        label="Custom values",
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text='Such as {"favorite_color": "blue"}; conditions and messages read them as contact.favorite_color.',
    )
    pipelines = forms.MultipleChoiceField(
        label="Pipelines",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Ticking puts the contact in. Clearing a box ends the run in that pipeline.",
    )

    class Meta:
        model = Contact
        fields = FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = bool(self.instance.pk)
        if known:
            self.fields["tag_names"].initial = ", ".join(sorted(tag.name for tag in self.instance.tags.all()))
        # An empty object would be refused as "this field is required" by nobody, and be shown as "null" to everybody.
        self.initial["custom"] = self.instance.custom or None
        field: Any = self.fields["pipelines"]
        field.choices = self._pipelines()
        if known:
            field.initial = [str(pk) for pk in hooks.manual_pipelines.current(subject=self.instance)]
        if not field.choices:
            field.widget = forms.HiddenInput()
            field.help_text = ""
            field.label = ""

    def _pipelines(self) -> list[tuple[str, str]]:
        team = self.current_team or getattr(self.instance, "team", None) if self._has_team() else self.current_team
        if team is None:
            return []
        return [(str(choice.id), choice.name) for choice in hooks.manual_pipelines.choices(team=team, model=Contact)]

    def _has_team(self) -> bool:
        return self.instance.team_id is not None

    def clean_tag_names(self) -> list[str]:
        names = clean_names(self.cleaned_data["tag_names"].split(","))
        long = next((name for name in names if len(name) > MAX_NAME), None)
        if long is not None:
            raise forms.ValidationError(f"A tag has at most {MAX_NAME} characters: “{long[:30]}…” is longer.")
        return names

    def clean_custom(self) -> dict[str, Any]:
        value = self.cleaned_data.get("custom") or {}
        found = custom.problems(value)
        if found:
            raise forms.ValidationError([f"{path}: {message}" for path, message in found])
        return dict(value)

    def clean_pipelines(self) -> list[int]:
        return [int(pk) for pk in self.cleaned_data["pipelines"]]

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not self.errors and not any(self.cleaned_data.get(name) for name in NAMING):
            self.add_error(None, "Give a name, an email or a phone number.")
        return cleaned

    @property
    def values(self) -> dict[str, Any]:
        """What the operations take; a cleared custom value is named with null, so that it goes."""
        wanted = {name: self.cleaned_data[name] for name in FIELDS if name in self.cleaned_data}
        if "custom" in wanted:
            gone = dict.fromkeys(set(self._stored_custom()) - set(wanted["custom"]))
            wanted["custom"] = {**wanted["custom"], **gone}
        if "tag_names" in self.cleaned_data:
            wanted["tags"] = self.cleaned_data["tag_names"]
        return wanted

    def _stored_custom(self) -> dict[str, Any]:
        stored = Contact.objects.filter(pk=self.instance.pk).values_list("custom", flat=True).first()
        return dict(stored or {}) if self.instance.pk else {}


def shown_custom(contact: Contact) -> str:
    """Custom values as text for a page that cannot be edited."""
    return json.dumps(contact.custom, indent=2, ensure_ascii=False) if contact.custom else "-"
