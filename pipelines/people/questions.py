"""The fields of a form as a page draws them, and what the page sends back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final

from django.http import QueryDict

INPUT_TYPES: Final = {
    "text": "text", "number": "number", "date": "date", "datetime": "datetime-local", "email": "email", "url": "url",
    "record": "text",
}  # fmt: skip
LENGTHS: Final = frozenset({"text", "textarea", "email", "url"})
LISTED_AS_BOXES: Final = 8
UNANSWERED: Final = (("yes", "Yes"), ("no", "No"))


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing to tick or to pick."""

    value: str
    label: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Question:
    """One field with what was typed and what is wrong with it."""

    name: str
    id: str
    type: str
    label: str
    required: bool
    help: str
    value: str
    error: str
    choices: Sequence[Choice]
    low: Any
    high: Any
    # Of what is wrong this stands first, so the cursor goes there.
    first_wrong: bool = False

    @property
    def input_type(self) -> str:
        return INPUT_TYPES.get(self.type, "text")

    @property
    def counts_letters(self) -> bool:
        return self.type in LENGTHS

    @property
    def described(self) -> str:
        """The ids of what is said about it, for those who listen to the page."""
        said = (("help", self.help), ("error", self.error))
        return " ".join(f"{self.id}_{what}" for what, text in said if text)

    @property
    def is_long_list(self) -> bool:
        return len(self.choices) > LISTED_AS_BOXES


def questions(
    fields: Sequence[Mapping[str, Any]],
    *,
    values: Mapping[str, Any],
    errors: Mapping[str, str],
    people: Sequence[tuple[int, str]],
    zone: tzinfo,
    prefix: str,
) -> list[Question]:
    """Every field of a form, ready to draw; times are shown in `zone`."""
    first = next((field["name"] for field in fields if errors.get(field["name"])), None)
    return [
        Question(
            name=f"{prefix}{field['name']}",
            id=f"id_{prefix}{field['name']}",
            type=str(field["type"]),
            label=str(field["label"]),
            required=bool(field["required"]),
            help=str(field["help"]),
            value=_shown(field, values.get(field["name"]), zone),
            error=errors.get(field["name"], ""),
            choices=_choices(field, values.get(field["name"]), people),
            low=_bound(field, field["min"], zone),
            high=_bound(field, field["max"], zone),
            first_wrong=field["name"] == first,
        )
        for field in fields
    ]


def read_answers(fields: Sequence[Mapping[str, Any]], post: QueryDict, *, prefix: str) -> dict[str, Any]:
    """What a page sent, by the names of the fields."""
    answers: dict[str, Any] = {}
    for field in fields:
        name = f"{prefix}{field['name']}"
        answers[field["name"]] = post.getlist(name) if field["type"] == "multiselect" else post.get(name, "")
    return answers


def _shown(field: Mapping[str, Any], value: Any, zone: tzinfo) -> str:
    if value is None:
        return ""
    if field["type"] == "datetime":
        return _local(value, zone)
    if isinstance(value, Mapping):
        return f"{value.get('type')}:{value.get('id')}" if field["type"] == "record" else str(value.get("id") or "")
    return str(value)


def _local(value: Any, zone: tzinfo) -> str:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    local = moment.astimezone(zone) if moment.tzinfo else moment
    return local.strftime("%Y-%m-%dT%H:%M")


def _bound(field: Mapping[str, Any], value: Any, zone: tzinfo) -> Any:
    return _local(value, zone) if field["type"] == "datetime" and value is not None else value


def _choices(field: Mapping[str, Any], value: Any, people: Sequence[tuple[int, str]]) -> list[Choice]:
    match field["type"]:
        case "select" | "multiselect":
            chosen = {str(each) for each in (value if isinstance(value, list | tuple) else [value])}
            return [
                Choice(str(option["value"]), str(option["label"]), str(option["value"]) in chosen)
                for option in field["options"]
            ]
        case "user":
            picked = str(value.get("id") if isinstance(value, Mapping) else value)
            return [Choice(str(pk), name, str(pk) == picked) for pk, name in people]
        case "boolean":
            word = "yes" if value is True or str(value).lower() in ("yes", "true") else ""
            word = word or ("no" if str(value).lower() in ("no",) else "")
            return [Choice(code, label, code == word) for code, label in UNANSWERED]
        case _:
            return []
