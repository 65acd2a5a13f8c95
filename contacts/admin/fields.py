"""Fields that several forms of contacts share."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from contacts import custom
from contacts.tagging import MAX_NAME, clean_names


class CustomValuesField(forms.JSONField):
    """Values under keys of one's own, as JSON; empty means none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label", "Custom values")
        kwargs.setdefault("required", False)
        kwargs.setdefault("widget", UnfoldAdminTextareaWidget({"rows": 3}))
        kwargs.setdefault("help_text", 'Such as {"favorite_color": "blue"}.')
        super().__init__(*args, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "" if value in (None, {}) else super().prepare_value(value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(initial or None, "" if data == "{}" else data)

    def clean(self, value: Any) -> dict[str, Any]:
        values = super().clean(value)
        values = {} if values is None else values
        found = custom.problems(values)
        if found:
            raise forms.ValidationError([f"{path}: {message}" for path, message in found])
        return dict(values)


class TagNamesField(forms.CharField):
    """Names of tags between commas; the cleaned value is a list."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label", "Tags")
        kwargs.setdefault("widget", UnfoldAdminTextInputWidget({"placeholder": "vip, newsletter"}))
        kwargs.setdefault("help_text", "Words separated by commas.")
        super().__init__(*args, **kwargs)

    def clean(self, value: Any) -> Any:
        names = clean_names(str(super().clean(value)).split(","))
        if self.required and not names:
            raise forms.ValidationError("Name at least one tag.")
        long = next((name for name in names if len(name) > MAX_NAME), None)
        if long is not None:
            raise forms.ValidationError(f"A tag has at most {MAX_NAME} characters: “{long[:30]}…” is longer.")
        return names


class RememberedField(forms.CharField):
    """What a page showed; it travels with the form and is never a change of its own."""

    widget = forms.HiddenInput

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False
