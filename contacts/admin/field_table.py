"""The fields of a record as a table of a form, one row each, with the same as JSON below."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError

from contacts.record_fields import LABELS, definition_problems

NOT_SAVED: Final = "Nothing is saved yet: look at what is marked in the rows."
_FLAGS: Final = ("required", "personal")


class FieldTable(forms.Widget):
    """Rows that are added, moved and removed by buttons; JSON that was changed decides, else the rows do.

    `warnings` are sentences to agree to before the form is saved, and `agreement` is what agreeing to them sends.
    """

    template_name = "admin/contacts/field_table.html"
    warnings: Sequence[str] = ()
    agreement = ""

    class Media:
        css = {"all": ("contacts/field_table.css",)}
        js = ("contacts/field_table.js",)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """A text of JSON, or the list of fields that the rows say."""
        written = data.get(name)
        if f"{name}-shown" not in data or (written is not None and _differs(written, data[f"{name}-shown"])):
            return written
        return [_row(data, f"{name}-{mark}") for mark in data.getlist(f"{name}-row") if _is_filled(data, name, mark)]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return name not in data and f"{name}-shown" not in data

    def format_value(self, value: Any) -> Any:
        return value

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        fields = value if isinstance(value, list) else [] if value is None else None
        problems = definition_problems(value) if fields is not None else []
        rows = [_shown(index, each, problems) for index, each in enumerate(fields or ())]
        context: dict[str, Any] = super().get_context(name, value, attrs)
        context["widget"] |= {
            "rows": rows,
            "blank": _shown("new", {"type": "text"}, []),
            "types": list(LABELS.items()),
            "json": json.dumps(fields, indent=2, ensure_ascii=False) if fields is not None else _written(value),
            # What the rows were made from; nothing, where JSON that is no list of fields has to be mended first.
            "shown": json.dumps(fields) if fields is not None else "",
            "json_problems": [_in_words(path, message) for path, message in problems],
            "opens_json": fields is None or any(not isinstance(each, Mapping) for each in fields),
            "warnings": self.warnings,
            "agreement": self.agreement,
        }
        return context


class FieldTableField(forms.JSONField):
    """Definitions of fields, from rows or from JSON; what is wrong is told at its row."""

    widget = FieldTable

    def prepare_value(self, value: Any) -> Any:
        return value

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What was sent, to be shown again."""
        if not isinstance(data, str):
            return data
        try:
            return json.loads(data)
        except ValueError:
            return data

    def to_python(self, value: Any) -> Any:
        if value == []:
            return []
        if not isinstance(value, str) or not value.strip():
            return value or []
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValidationError(f"This is not JSON: {error}.") from None

    def validate(self, value: Any) -> None:
        """Say once that something is wrong; the rows say what."""
        problems = definition_problems(value)
        if problems:
            whole = [message for path, message in problems if not path]
            raise ValidationError(whole or [NOT_SAVED])


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _differs(written: str, shown: str) -> bool:
    """Whether two texts of JSON say something else; white space and line ends do not count."""
    try:
        return bool(json.loads(written) != json.loads(shown))
    except ValueError:
        return written.split() != shown.split()


def _is_filled(data: Any, name: str, mark: str) -> bool:
    texts = (data.get(f"{name}-{mark}-{part}", "") for part in ("key", "label", "options"))
    return any(text.strip() for text in texts)


def _row(data: Any, at: str) -> dict[str, Any]:
    kind = data.get(f"{at}-type", "")
    found: dict[str, Any] = {"key": data.get(f"{at}-key", "").strip(), "type": kind}
    label = data.get(f"{at}-label", "").strip()
    if label:
        found["label"] = label
    found |= {flag: True for flag in _FLAGS if data.get(f"{at}-{flag}")}
    if kind == "select":
        found["options"] = [line.strip() for line in data.get(f"{at}-options", "").splitlines() if line.strip()]
    return found


def _shown(mark: int | str, given: Any, problems: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """One row, with the problems of its parts and of itself."""
    field = given if isinstance(given, Mapping) else {}
    at = f"[{mark}]"
    own = [(path.removeprefix(at).lstrip("."), message) for path, message in problems if path.startswith(at)]
    options = field.get("options")
    return {
        "mark": mark,
        "mark_text": str(mark),
        "number": mark + 1 if isinstance(mark, int) else "",
        "key": field.get("key", ""),
        "label": field.get("label", ""),
        "type": field.get("type", ""),
        "options": "\n".join(map(str, options)) if isinstance(options, list) else "",
        **{flag: bool(field.get(flag)) for flag in _FLAGS},
        "problems": [f"{name.capitalize()}: {message}" if name else message for name, message in own],
        "wrong": {name for name, _ in own},
    }


def _in_words(path: str, message: str) -> str:
    index, _, name = path.strip("[").partition("]")
    row = f"Field {int(index) + 1}" if index.isdecimal() else ""
    return ": ".join(filter(None, (", ".join(filter(None, (row, name.strip(".")))), message)))
