"""Forms that remember what they showed, and pages that write only what a person changed.

While somebody types, pipelines and colleagues change the same record. The row is read anew, and locked, when the form
comes back; a field that says what it said when the page was opened is taken to be as it is now.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.core import signing
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from contacts import custom
from contacts.admin.fields import RememberedField

SALT = "contacts.record-form"
SHOWN = "shown"
SHORT = 60


class RememberingForm(forms.ModelForm[Any]):
    """A form whose cleaned data are the row as it is now, with what the person changed since the page was opened."""

    # Fields whose changes the form itself works out.
    worked_out: tuple[str, ...] = ()
    shown = RememberedField(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.touched: set[str] | None = None
        # What was written by others meanwhile and is written over now: labels, with what stood there.
        self.written_over: dict[str, Any] = {}
        # Cleaning puts the new values into the instance.
        self.held_custom: dict[str, Any] = dict(getattr(self.instance, "custom", None) or {})
        self.fields[SHOWN].initial = lambda: signing.dumps(self._standing(), salt=SALT)

    def clean_shown(self) -> dict[str, Any]:
        """A page that says nothing about what it showed is compared with what is stored."""
        try:
            return dict(signing.loads(self.cleaned_data[SHOWN], salt=SALT))
        except signing.BadSignature:
            return self._standing()

    def clean(self) -> dict[str, Any] | None:
        data = super().clean() or self.cleaned_data
        if self.instance.pk:
            names = [name for name in self.fields if name in data and name != SHOWN]
            self.touched = {name for name in names if self.now(name) != self.before(name)}
            for name in names:
                if name not in self.worked_out:
                    self._settle(name, data)
        return data

    @property
    def changed_data(self) -> Any:
        """What the person changed, whatever others changed meanwhile."""
        return super().changed_data if self.touched is None else [name for name in self.fields if name in self.touched]

    @property
    def custom_changes(self) -> dict[str, Any]:
        """Custom values that are to be others, and null under the keys that are to go."""
        wanted, held = self.cleaned_data.get("custom") or {}, self.held_custom
        changed = {key: value for key, value in wanted.items() if key not in held or held[key] != value}
        return {**changed, **dict.fromkeys(held.keys() - wanted.keys())}

    def now(self, name: str) -> Any:
        return _blank(_plain(self.cleaned_data[name]))

    def before(self, name: str) -> Any:
        return _blank(self.cleaned_data.get(SHOWN, {}).get(name))

    def _standing(self) -> dict[str, Any]:
        if not self.instance.pk:
            return {}
        return {name: _plain(self._initial(name)) for name in self.fields if name != SHOWN}

    def _initial(self, name: str) -> Any:
        return self.initial.get(name, self.fields[name].initial)

    def _settle(self, name: str, data: dict[str, Any]) -> None:
        """One field: what is held if nobody touched it; else what was typed, an object key by key."""
        held, typed = self._standing_value(name, data[name]), data[name]
        if name not in (self.touched or ()):
            data[name] = held
        elif isinstance(typed, dict) and isinstance(held, Mapping):
            data[name] = self._merged(held, self.before(name) or {}, typed)
        elif _blank(_plain(held)) not in (self.before(name), self.now(name)):
            self.written_over[str(self.fields[name].label or name)] = self._told(name, held)

    def _standing_value(self, name: str, typed: Any) -> Any:
        column = name != "custom" and name in {field.name for field in self.instance._meta.concrete_fields}
        if not column:
            return self._initial(name)
        same = isinstance(typed, Model) and _plain(typed) == _plain(self._initial(name))
        return typed if same else getattr(self.instance, name)

    def _merged(self, held: Mapping[str, Any], before: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
        changes = {key: value for key, value in typed.items() if key not in before or before[key] != value}
        changes |= dict.fromkeys(before.keys() - typed.keys())
        for key, value in changes.items():
            if held.get(key) not in (before.get(key), value):
                self.written_over[key] = held.get(key)
        return custom.merged(current=held, changes=changes)

    def _told(self, name: str, held: Any) -> Any:
        field: Any = self.fields[name]
        labels: Any = field.choices if isinstance(field, forms.ChoiceField) and isinstance(held, str) else ()
        return dict(labels).get(held, held)


class RememberingPage:
    """Mixed into pages with such a form, first: the row is locked while it is written, and no other column is."""

    model: Any

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        match = request.resolver_match
        writes = request.method == "POST" and match is not None and str(match.url_name).endswith("_change")
        return rows.select_for_update(of=("self",), no_key=True) if writes else rows

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.with_memory(request, obj, list(super().get_fieldsets(request, obj)))  # type: ignore[misc]

    def with_memory(self, request: HttpRequest, obj: Any, fieldsets: list[Any]) -> list[Any]:
        """The groups of a page, the first of them with what the page showed."""
        page: Any = self
        if obj is None or not page.has_change_permission(request, obj):
            return fieldsets
        title, options = fieldsets[0]
        return [(title, {**options, "fields": [*options["fields"], SHOWN]}), *fieldsets[1:]]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            super().save_model(request, obj, form, change)  # type: ignore[misc]
            return
        names = {field.name for field in obj._meta.concrete_fields} & set(form.changed_data)
        names |= {"custom"} if form.custom_changes else set()
        names |= {"values"} if hasattr(obj, "values") and form.changed_data else set()
        if names:
            obj.save(update_fields=[*sorted(names), "updated_at"])
        self.tell_written_over(request, form)

    def tell_written_over(self, request: HttpRequest, form: Any) -> None:
        """Say what others wrote into the same fields while the page was open."""
        for label, held in form.written_over.items():
            what = f"became “{str(held)[:SHORT]}”" if held not in (None, "") else "was emptied"
            messages.warning(request, f"{label} {what} while you were writing. What you wrote stands there now.")


def _plain(value: Any) -> Any:
    """A value as JSON holds it, the same for what a form begins with and what it understands."""
    match value:
        case datetime():
            return value.timestamp() // 1
        case date():
            return value.isoformat()
        case str():
            # Browsers end lines their own way, and fields strip.
            return value.replace("\r\n", "\n").strip()
        case bool() | None:
            return value
        case int() | float() | Decimal():
            text = f"{Decimal(str(value)):f}"
            return text.rstrip("0").rstrip(".") if "." in text else text
        case Model():
            return _plain(value.pk)
        case list():
            return sorted(str(item) for item in value)
    return value


def _blank(value: Any) -> Any:
    """An empty text, list or object and nothing at all are the same."""
    return None if value in ("", [], {}) else value
