"""The values of a record of one's own type as fields of a form, each of its kind; JSON beside them for the rest."""

from collections.abc import Mapping
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldAdminURLInputWidget,
)

from contacts.admin.remembering import RememberingForm
from contacts.models import Record, RecordType
from contacts.record_fields import InvalidValues, checked

PREFIX: Final = "own_"
_UNCHOSEN: Final = ("", "—")
_YES_NO: Final = (_UNCHOSEN, ("true", "Yes"), ("false", "No"))


class DateInput(UnfoldAdminTextInputWidget):
    """A date by the calendar of the browser."""

    input_type = "date"


class NumberInput(UnfoldAdminTextInputWidget):
    """A number, with or without decimals."""

    input_type = "number"


class RecordForm(RememberingForm):
    """A record whose values fit its type; JSON that was changed decides, else the fields of the type do."""

    class Meta:
        model = Record
        fields = ("type", "values")
        widgets = {"values": UnfoldAdminTextareaWidget({"rows": 8})}
        help_texts = {"values": 'An object such as {"name": "Tea", "quantity": 12}; the type says which keys it has.'}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "values" in self.fields:
            # Whether the JSON was changed is told by what the record holds now.
            self.fields["values"].show_hidden_initial = False

    def clean(self) -> Any:
        data: dict[str, Any] = super().clean() or {}
        kind = self.instance.type if self.instance.pk else data.get("type")
        if kind is None or self.errors:
            return data
        typed = data.get("values")
        written = "values" in self.changed_data and typed not in (None, {})
        own = {name.removeprefix(PREFIX): value for name, value in data.items() if name.startswith(PREFIX)}
        own = {
            key: value for key, value in own.items() if value not in (None, "") or key in (self.instance.values or {})
        }
        given = typed if written or not own else own
        left = {} if written else _left_over(self.instance.values, kind)
        try:
            data["values"] = {**left, **checked(kind.fields, given if isinstance(given, dict) else {"values": given})}
        except InvalidValues as error:
            for path, message in error.problems:
                place = f"{PREFIX}{path}" if not written and f"{PREFIX}{path}" in self.fields else "values"
                self.add_error(place, ValidationError(message if place != "values" else f"{path}: {message}"))
        return data


def own_fields(kind: RecordType, values: Mapping[str, Any]) -> dict[str, forms.Field]:
    """A field of a form for each field of a type, with what the record holds."""
    return {f"{PREFIX}{given['key']}": form_field(given, values.get(given["key"])) for given in kind.fields}


def form_field(given: Mapping[str, Any], value: Any) -> forms.Field:
    """The input for a field as its definition says, with what is held."""
    label = label_of(given)
    if given.get("required"):
        label = f"{label} (needed)"
    common: dict[str, Any] = {"required": False, "label": label, "initial": value}
    match given["type"]:
        case "textarea":
            return forms.CharField(widget=UnfoldAdminTextareaWidget({"rows": 3}), **common)
        case "integer":
            return forms.IntegerField(widget=UnfoldAdminIntegerFieldWidget, **common)
        case "number":
            return forms.DecimalField(widget=NumberInput({"step": "any"}), **common)
        case "boolean":
            common["initial"] = "" if value is None else str(bool(value)).lower()
            return forms.ChoiceField(choices=_YES_NO, widget=UnfoldAdminSelectWidget, **common)
        case "select":
            options = [str(each) for each in given.get("options") or ()]
            gone = [str(value)] if value and value not in options else []
            choices = [_UNCHOSEN, *((each, each) for each in [*options, *gone])]
            return forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget, **common)
        case "date":
            return forms.CharField(widget=DateInput, **common)
        case "datetime":
            return forms.CharField(
                widget=UnfoldAdminTextInputWidget, help_text="Such as 2027-03-01T12:00:00+00:00.", **common
            )
        case "email":
            return forms.CharField(widget=UnfoldAdminEmailInputWidget, **common)
        case "url":
            return forms.CharField(widget=UnfoldAdminURLInputWidget, **common)
    return forms.CharField(widget=UnfoldAdminTextInputWidget, **common)


def label_of(given: Mapping[str, Any]) -> str:
    """How people read the name of a field, which need not have a label."""
    return str(given.get("label") or str(given["key"]).replace("_", " ").capitalize())


def _left_over(values: Mapping[str, Any], kind: RecordType) -> dict[str, Any]:
    """What the record holds under keys that its type no longer has."""
    known = {each["key"] for each in kind.fields}
    return {key: value for key, value in (values or {}).items() if key not in known}
