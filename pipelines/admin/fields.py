"""Form fields of the pipeline editor: JSON with readable errors, delays as people write them."""

import json
import re
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError

from pipelines.definition.delays import DelayError, parse_delay
from pipelines.definition.durations import DurationError, compact_duration, parse_duration

LARGEST_DELAY: Final = 2**62
_SPOKEN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(weeks?|days?|hours?|minutes?|mins?|seconds?|secs?)\b,?\s*", re.I)
_TYPE_NAMES: Final[dict[Any, str]] = {dict: 'an object such as {"name": "value"}', list: "a list such as [ … ]"}


class JsonField(forms.JSONField):
    """JSON typed by a person; empty means the field's default, errors name the line."""

    def __init__(self, *, expect: type | None = None, default: Any = None, **kwargs: Any) -> None:
        self.expect, self.default = expect, default
        kwargs.setdefault("required", False)
        kwargs.setdefault("widget", JsonArea())
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> Any:
        if value is None or (isinstance(value, str) and not value.strip()):
            return self.default
        if isinstance(value, str):
            value = self._read(value)
        if self.expect is not None and not isinstance(value, self.expect):
            raise ValidationError(f"This must be {_TYPE_NAMES.get(self.expect, 'of another type')}.")
        return value

    def validate(self, value: Any) -> None:
        if self.required and value in (None, ""):
            raise ValidationError(self.error_messages["required"], code="required")

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What was typed, letter by letter, so that an error loses nothing."""
        return data

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        return "" if value is None or value == self.default else json.dumps(value, indent=2, ensure_ascii=False)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != (self.default if initial is None else initial))
        except ValidationError:
            return True

    def _read(self, text: str) -> Any:
        try:
            return json.loads(text, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            raise ValidationError(f"Not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}.") from None
        except RecursionError:
            raise ValidationError("This is nested too deeply.") from None


class SpanField(JsonField):
    """How long something may take: seconds, or a span such as 2d, which stands in quotes like any text of JSON."""

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value.strip()) if isinstance(value, str) and _is_span(value) else super().prepare_value(value)

    def _read(self, text: str) -> Any:
        return text.strip() if _is_span(text) else super()._read(text)


def _is_span(text: str) -> bool:
    """Whether this is a span as it stands in documents, with its unit."""
    if not text.strip()[-1:].isalpha():
        return False
    try:
        parse_duration(text.strip())
    except DurationError:
        return False
    return True


class ConditionField(JsonField):
    """A condition: rows as JSON, or an expression written as it is."""

    def _read(self, text: str) -> Any:
        return super()._read(text) if text.lstrip()[:1] in '[{"tf' and _looks_like_json(text) else text.strip()

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else super().prepare_value(value)


class DelayField(forms.CharField):
    """Seconds, a duration ("3 days", "1h30m") or a rule as JSON; cleans to `(seconds, rule)`."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        super().__init__(**kwargs)

    def clean(self, value: Any) -> tuple[int, Any]:
        text = str(value or "").strip()
        if not text:
            return 0, None
        try:
            return _read_delay(text)
        except (DelayError, DurationError) as error:
            raise ValidationError(str(error)) from None
        except json.JSONDecodeError as error:
            raise ValidationError(f"Not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}.") from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return self.clean(initial) != self.clean(data)
        except ValidationError:
            return True


class JsonArea(forms.Textarea):
    """A text area for JSON."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"class": "pl-input pl-code", "rows": 4, "spellcheck": "false", **(attrs or {})})


def delay_text(*, seconds: int, rule: Any) -> str:
    """A delay as the field shows it."""
    if rule is not None:
        return rule if isinstance(rule, str) else json.dumps(rule, ensure_ascii=False)
    return compact_duration(seconds)


def _read_delay(text: str) -> tuple[int, Any]:
    if text.startswith("{") and not text.startswith("{{"):
        rule = json.loads(text)
        delay = parse_delay(rule)
    else:
        spoken = _SPOKEN.sub(lambda match: f"{match[1]}{match[2][0].lower()}", text).strip()
        rule = spoken if not spoken.isdigit() else int(spoken)
        delay = parse_delay(rule)
    if isinstance(rule, int | str) and delay.is_plain_seconds and delay.seconds is not None:
        seconds = parse_duration(delay.seconds)
        if seconds.is_integer() and seconds < LARGEST_DELAY:
            return int(seconds), None
    return 0, rule


def _looks_like_json(text: str) -> bool:
    stripped = text.strip()
    return stripped[0] in '[{"' or stripped in ("true", "false")


def _refuse_constant(name: str) -> Any:
    raise ValidationError(f"Not valid JSON: {name} is no JSON value.")
