"""Fields that a team defined, in lists: a filter for each, and the first few as columns."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, TextFilter
from unfold.contrib.filters.forms import RangeNumericForm

from contacts.admin.own_values import PREFIX, DateInput, label_of
from contacts.models import Record, RecordType
from contacts.own_fields import Field, definitions
from contacts.own_values import DATES, NUMBERS, containing, equal, within
from crm.models import Team
from crm.once import once

# A list that shows every field is read by nobody; whoever wants another column moves its field to the front.
COLUMNS: Final = 2
_LONGEST: Final = 60
_YES_NO: Final = (("true", "Yes"), ("false", "No"))


class OwnFieldsList:
    """Mixed into pages of records: lists show and filter by what the team defined; one statement reads it."""

    model: Any
    list_filter_submit = True

    def get_list_filter(self, request: HttpRequest) -> Any:
        own = [own_filter(field, self._column()) for field in self._defined(request)]
        return [*super().get_list_filter(request), *own]  # type: ignore[misc]

    def get_list_display(self, request: HttpRequest) -> Any:
        own = [own_column(field, self._column()) for field in self._defined(request)[:COLUMNS]]
        return (*super().get_list_display(request), *own)  # type: ignore[misc]

    def _column(self) -> str:
        return "values" if self.model is Record else "custom"

    def _defined(self, request: HttpRequest) -> Sequence[Field]:
        if self.model is Record:
            return once(request, ("own fields", Record), lambda: _of_type(request))
        return defined(request, team=getattr(request, "team", None), model=self.model)


def defined(request: HttpRequest, *, team: Team | int | None, model: type[Model]) -> Sequence[Field]:
    """The fields that a team defines for a model; of no team, none."""
    if team is None:
        return ()
    key = ("own fields", getattr(team, "pk", team), model)
    return once(request, key, lambda: definitions(team=team, model=model))


def _of_type(request: HttpRequest) -> Sequence[Field]:
    """The fields of the type of records that the list is narrowed to."""
    chosen = request.GET.get("type__id__exact", "")
    if not chosen.isdecimal() or len(chosen) > 9:
        return ()
    known = RecordType.objects.for_team(getattr(request, "team", None)).filter(pk=int(chosen))
    return known.values_list("fields", flat=True).first() or ()


def own_column(field: Field, column: str, longest: int | None = _LONGEST) -> Callable[[Any], str]:
    """A column with the values of a field; `longest` cuts them."""

    def shown(row: Any) -> str:
        text = spoken((getattr(row, column) or {}).get(field["key"]), str(field["type"]))
        return text if longest is None or len(text) <= longest else f"{text[: longest - 1]}…"

    shown.__name__ = f"{PREFIX}{field['key']}"
    shown.short_description = label_of(field)  # type: ignore[attr-defined]
    return shown


def spoken(value: Any, type: str) -> str:
    """A value as people read it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, int | float):
        return f"{value:,}"
    if type in DATES:
        return _in_words(str(value))
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _in_words(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text) if len(text) > 10 else date.fromisoformat(text)
    except ValueError:
        return text
    clock = f", {moment:%H:%M}" if isinstance(moment, datetime) else ""
    return f"{moment.day} {moment:%b %Y}{clock}"


def own_filter(field: Field, column: str) -> type[admin.SimpleListFilter]:
    """The filter that fits the type of a field."""
    type_of = str(field["type"])
    base: type[Any] = _Containing
    if type_of in ("select", "boolean"):
        base = _OneOf
    elif type_of in NUMBERS:
        base = _Numbers
    elif type_of in DATES:
        base = _Dates
    name = f"{PREFIX}{field['key']}"
    return type(name, (base,), {"title": label_of(field), "parameter_name": name, "field": field, "column": column})


class _OneOf(DropdownFilter):
    """One of the options, or yes and no."""

    field: Field
    column: str

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return _YES_NO if self.field["type"] == "boolean" else [(each, each) for each in self.field["options"]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if not chosen or chosen not in {value for value, _ in self.lookup_choices}:
            return queryset
        value: Any = chosen == "true" if self.field["type"] == "boolean" else chosen
        return equal(queryset, column=self.column, key=self.field["key"], value=value)


class _Containing(TextFilter):
    """A part of the text."""

    field: Field
    column: str

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        text = (self.value() or "").strip()
        if not text or "\x00" in text:
            return queryset
        return containing(queryset, column=self.column, key=self.field["key"], text=text[:200])


class _Range(admin.SimpleListFilter):
    """From and to, both of them inside."""

    field: Field
    column: str
    form: type[Any]

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.request = request
        for name in filter(None, self.expected_parameters()):
            given = params.pop(name, None)
            value = given[-1] if isinstance(given, list) else given
            if value:
                self.used_parameters[name] = value

    def expected_parameters(self) -> list[str | None]:
        return [f"{self.parameter_name}_from", f"{self.parameter_name}_to"]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return ()

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: Any) -> Iterator[Any]:
        form = self.form(name=self.parameter_name, data=dict(self.used_parameters))
        yield {"request": self.request, "parameter_name": self.parameter_name, "form": form}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        for name, compare in zip(self.expected_parameters(), ("gte", "lte"), strict=True):
            value = self.used_parameters.get(name or "")
            if value is None:
                continue
            try:
                queryset = within(
                    queryset,
                    column=self.column,
                    key=self.field["key"],
                    type=str(self.field["type"]),
                    compare=compare,
                    value=str(value),
                )
            except ValueError:
                # Nothing lies beside what is no number and no date.
                return queryset.none()
        return queryset


class DatesForm(forms.Form):
    """From and to by the calendar of the browser."""

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for end in ("from", "to"):
            widget = DateInput({"aria-label": end.capitalize()})
            self.fields[f"{name}_{end}"] = forms.CharField(required=False, widget=widget)


class _Numbers(_Range):
    template = "unfold/filters/filters_numeric_range.html"
    form = RangeNumericForm


class _Dates(_Range):
    template = "unfold/filters/filters_date_range.html"
    form = DatesForm
