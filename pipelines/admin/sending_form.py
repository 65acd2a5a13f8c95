"""The form of a team's sending rules: days to tick, hours and holidays line by line."""

from collections.abc import Mapping
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from crm.models.team import validate_timezone
from pipelines.definition.pacing import CHANNELS, parse_caps, parse_throttles
from pipelines.definition.windows import DAYS, WindowError, parse_holidays, parse_window
from pipelines.models import SendingRules

NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ZONES = [("subject", "the contact, or the team where that is not known"), ("team", "the team"), ("fixed", "this one")]


def _line(placeholder: str, help_text: str, **kwargs: Any) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget({"placeholder": placeholder})
    return forms.CharField(required=False, widget=widget, help_text=help_text, **kwargs)


def _lines(placeholder: str, help_text: str, rows: int = 3, **kwargs: Any) -> forms.CharField:
    widget = UnfoldAdminTextareaWidget({"rows": rows, "placeholder": placeholder})
    return forms.CharField(required=False, widget=widget, help_text=help_text, **kwargs)


class SendingRulesForm(forms.ModelForm[SendingRules]):
    """Every rule in words people write; what it does not offer, such as hours of one day, the lines can say."""

    days = forms.MultipleChoiceField(
        choices=list(zip(DAYS, NAMES, strict=True)),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Days on which messages leave. None ticked means every day.",
    )
    hours = _lines(
        "09:00-17:00",
        "Hours on these days, one line each. For hours of one day put it in front: mon 09:00-17:00.",
        2,
    )
    quiet = _line("21:00-08:00", "No message leaves in these hours, on no day.", label="Quiet hours")
    zone = forms.ChoiceField(
        choices=ZONES, initial="team", required=False, label="By the clock of", widget=UnfoldAdminSelectWidget
    )
    fixed_zone = _line("Europe/Berlin", "Only for ‘this one’.", label="Time zone", validators=[validate_timezone])
    spread = _line(
        "1h", "What waited for hours to open leaves spread over this time, not all at its first second.", label="Spread"
    )
    keeps_holidays = forms.BooleanField(
        required=False, initial=True, label="Nothing leaves on holidays", widget=UnfoldBooleanSwitchWidget()
    )
    holiday_lines = _lines(
        "12-25 Christmas\n2026-04-03 Good Friday",
        "One day a line: month-day for every year, or year-month-day, and a name.",
        label="Holidays",
    )
    cap_lines = _lines(
        "2 per day\n5 per week",
        "What one person gets at most, over all pipelines and channels; one line each.",
        2,
        label="Messages to one person",
    )
    email = _line("600 per hour", "", label="Email")
    sms = _line("10 per minute", "", label="SMS")
    push = _line("", "", label="Push")
    whatsapp = _line("", "", label="WhatsApp")
    chat = _line("1 per second", "", label="Chat")

    class Meta:
        model = SendingRules
        fields = ["when_capped", "longest_wait_hours"]
        labels = {"when_capped": "What is too much", "longest_wait_hours": "Waits at most (hours)"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rules = self.instance
        window: Mapping[str, Any] = rules.window or {}
        zone = str(window.get("tz") or "team")
        fixed = zone not in ("subject", "team")
        values = {
            "days": window.get("days") or [],
            "hours": "\n".join(_hour_lines(window.get("hours"))),
            "quiet": window.get("quiet") or "",
            "zone": "fixed" if fixed else zone,
            "fixed_zone": zone if fixed else "",
            "spread": str(window.get("spread") or ""),
            "keeps_holidays": window.get("holidays") != "send",
            "holiday_lines": "\n".join(rules.holidays or []),
            "cap_lines": "\n".join(rules.caps or []),
            **{channel: (rules.throttles or {}).get(channel, "") for channel in CHANNELS},
        }
        for name, value in values.items():
            if name in self.fields:
                self.fields[name].initial = value

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        values = self.cleaned_data if cleaned is None else cleaned
        rules = self.instance
        window = self._window(values)
        if window is not None:
            rules.window = window
        rules.holidays = self._read("holiday_lines", _of_lines(values.get("holiday_lines")), parse_holidays)
        rules.caps = self._read("cap_lines", _of_lines(values.get("cap_lines")), parse_caps)
        given = {channel: values[channel].strip() for channel in CHANNELS if (values.get(channel) or "").strip()}
        try:
            parse_throttles(given)
            rules.throttles = given
        except WindowError as error:
            self.add_error(error.path, error.message)
        return cleaned

    def _window(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        window: dict[str, Any] = {"days": values.get("days") or None, "quiet": values.get("quiet") or None}
        window["hours"] = _of_hour_lines(_of_lines(values.get("hours")))
        if isinstance(window["hours"], dict):
            window["days"] = None
        window["tz"] = values.get("fixed_zone") if values.get("zone") == "fixed" else values.get("zone")
        window["spread"] = values.get("spread") or None
        window["holidays"] = None if values.get("keeps_holidays") else "send"
        window = {name: value for name, value in window.items() if value and (name, value) != ("tz", "team")}
        try:
            parse_window(window)
        except WindowError as error:
            name = error.path.partition(".")[0]
            self.add_error(name if name in self.fields else "zone" if name == "tz" else "hours", error.message)
            return None
        return window

    def _read(self, name: str, lines: list[str], read: Any) -> list[str]:
        try:
            read(lines)
        except WindowError as error:
            self.add_error(name, error.message)
        return lines


def _of_lines(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").splitlines() if line.strip()]


def _hour_lines(hours: Any) -> list[str]:
    """Hours of a window as lines: one for each range, with its day where days differ."""
    if isinstance(hours, Mapping):
        return [f"{day} {each}" for day in DAYS if day in hours for each in _listed(hours[day])]
    return [str(each) for each in _listed(hours)] if hours else []


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _of_hour_lines(lines: list[str]) -> Any:
    """The other way round; days in front of some lines make hours of each day."""
    named = [line.split(None, 1) for line in lines]
    if not any(len(parts) == 2 and parts[0].lower()[:3] in DAYS for parts in named):
        return lines[0] if len(lines) == 1 else lines
    found: dict[str, list[str]] = {}
    for parts in named:
        day, hours = (parts[0].lower()[:3], parts[1]) if len(parts) == 2 else ("", parts[0])
        found.setdefault(day, []).append(hours)
    return {day: ranges[0] if len(ranges) == 1 else ranges for day, ranges in found.items()}
