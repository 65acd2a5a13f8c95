"""Fields that several forms of contacts share."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget

from contacts import custom


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


class RememberedField(forms.CharField):
    """What a page showed; it travels with the form and is never a change of its own."""

    widget = forms.HiddenInput

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False
