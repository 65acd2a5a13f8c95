"""Fields that a team defines, on the pages of contacts, companies and deals: each an input of its own."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminTextInputWidget

from contacts.admin.own_lists import defined, own_column
from contacts.admin.own_values import PREFIX, form_field
from contacts.custom import problems as custom_problems
from contacts.own_fields import Field, checked_custom, definitions, fits
from contacts.record_fields import LABELS, InvalidValues

_SHOWN: Final = "own_fields_shown"


class OwnFieldsForm:
    """Mixed into forms with `custom`, before their base: own fields have inputs, JSON is for what has no definition."""

    own_definitions: Sequence[Field] = ()
    instance: Any
    fields: Any
    initial: Any
    data: Any
    cleaned_data: Any
    errors: Any
    add_error: Callable[..., None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        held = self.instance.custom or {}
        for name, field in self._inputs():
            field.initial = _shown(field.initial)
            self.initial[name] = field.initial
        if self.own_definitions and "custom" in self.fields:
            keys = {field["key"] for field in self.own_definitions}
            self.initial["custom"] = {key: value for key, value in held.items() if key not in keys}
            self.fields["custom"].label = "Other values"

    def _inputs(self) -> list[tuple[str, forms.Field]]:
        return [(name, field) for name, field in self.fields.items() if name.startswith(PREFIX)]

    def clean(self) -> Any:
        data: dict[str, Any] = super().clean() or self.cleaned_data  # type: ignore[misc]
        if "custom" not in data:
            return data
        fields = self.own_definitions or self._of_chosen_team(data)
        if fields and not self._names_own(data["custom"]):
            self._put_own(data, fields)
        # Each part may be fine, and all together too much.
        for path, message in custom_problems(data.get("custom", {})):
            self.add_error("custom", ValidationError(f"{path}: {message}"))
        return data

    def _put_own(self, data: dict[str, Any], fields: Sequence[Field]) -> None:
        """Put what the inputs say into the custom values."""
        own = self._own(data)
        written = {key: value for key, value in own.items() if not self._stays(key, value)}
        stays = {key: self.instance.custom[key] for key in own.keys() - written.keys() if key in self._held()}
        try:
            found = checked_custom(fields=fields, values={**data["custom"], **written}, complete=not self.instance.pk)
        except InvalidValues as error:
            self._refuse(error)
            return
        data["custom"] = {**stays, **{key: value for key, value in found.items() if value is not None}}

    def _of_chosen_team(self, data: dict[str, Any]) -> Sequence[Field]:
        """Who sees all teams chooses one in the form, which therefore could not offer the fields of any."""
        team = data.get("team")
        return definitions(team=team, model=type(self.instance)) if team is not None and not self.instance.pk else ()

    def _names_own(self, values: Any) -> bool:
        """Whether JSON says what has an input of its own."""
        twice = [field for field in self.own_definitions if field["key"] in values]
        for field in twice:
            self.add_error("custom", ValidationError(f"{field['key']}: write it into {field['label']} above."))
        return bool(twice)

    def _held(self) -> dict[str, Any]:
        return self.instance.custom or {}

    def _own(self, data: dict[str, Any]) -> dict[str, Any]:
        """What the inputs say; one that is empty and was empty says nothing."""
        given = {name.removeprefix(PREFIX): data.get(name) for name, _ in self._inputs()}
        return {key: value for key, value in given.items() if value not in (None, "") or key in self._held()}

    def _stays(self, key: str, value: Any) -> bool:
        """Whether an input shows what is held, which may be from before the definition and not fit it."""
        return key in self._held() and _text(value) == _text(self._held()[key])

    def _refuse(self, error: InvalidValues) -> None:
        for key, message in error.problems:
            name = f"{PREFIX}{key}"
            self.add_error(
                name if name in self.fields else "custom",
                ValidationError(message if name in self.fields else f"{key}: {message}"),
            )


def _shown(value: Any) -> Any:
    return "; ".join(map(str, value)) if isinstance(value, list) else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(_shown(value))


class OwnFieldsPage:
    """Mixed into pages of these records: asks for the fields of the team, and puts them into the first group."""

    # Before which field they stand; at the end where there is none of this name.
    own_fields_before = ""
    model: Any
    form: Any

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        found = self._definitions(request, obj)
        held = obj.custom if obj is not None else {}
        inputs = {f"{PREFIX}{field['key']}": _input(field, (held or {}).get(field["key"])) for field in found}
        bases = (self.form,) if issubclass(self.form, OwnFieldsForm) else (OwnFieldsForm, self.form)
        own = inputs if self._may_write(request, obj) else {}
        kwargs["form"] = type(self.form.__name__, bases, {**own, "own_definitions": found if own else ()})
        return super().get_form(request, obj, change=change, **kwargs)  # type: ignore[misc]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = list(super().get_fieldsets(request, obj))  # type: ignore[misc]
        names = self._names(request, obj)
        if not names:
            return fieldsets
        title, options = fieldsets[-2]
        rows = list(options["fields"])
        at = rows.index(self.own_fields_before) if self.own_fields_before in rows else len(rows)
        pairs = [tuple(names[index : index + 2]) for index in range(0, len(names), 2)]
        fieldsets[-2] = (title, {**options, "fields": [*rows[:at], *pairs, *rows[at:]]})
        return fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)  # type: ignore[misc]
        return (*fields, *(name for name in self._names(request, obj) if callable(name)))

    def _names(self, request: HttpRequest, obj: Any) -> list[Any]:
        """Names of inputs, or for those who may only look the columns that show what is held."""
        found = self._definitions(request, obj)
        if self._may_write(request, obj):
            return [f"{PREFIX}{field['key']}" for field in found]
        kept: dict[str, Any] = request.__dict__.setdefault(_SHOWN, {})
        return [kept.setdefault(field["key"], own_column(field, "custom", longest=None)) for field in found]

    def _may_write(self, request: HttpRequest, obj: Any) -> bool:
        page: Any = self
        return bool(page.has_add_permission(request) if obj is None else page.has_change_permission(request, obj))

    def _definitions(self, request: HttpRequest, obj: Any) -> Sequence[Field]:
        team = obj.team_id if obj is not None else getattr(request, "team", None)
        return defined(request, team=team, model=self.model)


def _input(field: Field, value: Any) -> forms.Field:
    """An input of the field's type; of text for a value from before the definition that does not fit it."""
    if fits(field, value):
        return form_field(field, value)
    label = form_field(field, None).label
    told = f"What stands here does not fit: {LABELS[field['type']].lower()} is asked for."
    return forms.CharField(
        required=False, label=label, initial=_shown(value), help_text=told, widget=UnfoldAdminTextInputWidget()
    )
