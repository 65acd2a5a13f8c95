"""Whether a record may enter again, as a choice and, where the choice needs one, a word more."""

from collections.abc import Mapping
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError

from pipelines.definition.durations import DurationError, compact_duration, parse_duration
from pipelines.definition.values import ParameterError, compile_value, is_dynamic

DEFAULT: Final = "while_active"
AFTER, KEY, KEY_FOR_EVER, ON_LEAVE = "after", "key", "key_for_ever", "on_leave"
CHOICES: Final = (
    (DEFAULT, "Once it has left"),
    ("once", "Never again"),
    ("always", "Every time"),
    ("restart", "Every time, from the start: the run it has ends"),
    (AFTER, "Some time after it has left"),
    (KEY, "Once per value, until that run ends"),
    (KEY_FOR_EVER, "Once per value, for ever"),
    (ON_LEAVE, "Once it no longer meets the conditions"),
)
NEEDS_MORE: Final = {AFTER: "Say how long, such as 30d.", KEY: "Say which value, such as {{ trigger.cart_id }}."}
HELP: Final = "“Some time after”: how long, such as 30d. “Once per value”: which one, such as {{ trigger.cart_id }}."


class ReentryWidget(forms.MultiWidget):
    """A list of choices and a line beside it."""

    def __init__(self, attrs: Any = None) -> None:
        line = forms.TextInput({"class": "pl-input", "aria-label": "How long, or which value", "spellcheck": "false"})
        choice = forms.Select({"class": "pl-input", "aria-label": "Entering again"}, choices=CHOICES)
        super().__init__({"policy": choice, "more": line}, attrs)

    def decompress(self, value: Any) -> list[str]:
        return list(spoken(value))


class ReentryField(forms.MultiValueField):
    """Cleans to a re-entry rule of the definition document, None for the usual one."""

    def __init__(self, **kwargs: Any) -> None:
        fields = (forms.ChoiceField(choices=CHOICES), forms.CharField(required=False, max_length=500))
        kwargs.setdefault("label", "Entering again")
        kwargs.setdefault("help_text", HELP)
        super().__init__(fields, widget=ReentryWidget(), required=False, require_all_fields=False, **kwargs)

    def compress(self, data_list: list[Any]) -> Any:
        policy, more = [*(data_list or []), "", ""][:2]
        return rule(policy=policy or DEFAULT, more=(more or "").strip())

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(data) != (None if initial == DEFAULT else initial))
        except ValidationError:
            return True


def spoken(value: Any) -> tuple[str, str]:
    """(choice, the word more) that stand for a stored rule."""
    if isinstance(value, Mapping):
        if "key" in value:
            return (KEY_FOR_EVER if value.get("release") == "never" else KEY), str(value["key"])
        if "after" in value:
            return AFTER, _duration(value["after"])
        return ON_LEAVE, ""
    return str(value or DEFAULT), ""


def _duration(after: Any) -> str:
    """Whole days as people say them, other lengths in their parts."""
    if not isinstance(after, int | float):
        return str(after)
    days, rest = divmod(int(after), 86_400)
    return compact_duration(int(after)) if rest else f"{days}d"


def rule(*, policy: str, more: str) -> Any:
    """The rule that a choice stands for; raises ValidationError where its word is missing or unreadable."""
    asked = NEEDS_MORE.get(KEY if policy == KEY_FOR_EVER else policy)
    if asked and not more:
        raise ValidationError(asked)
    try:
        match policy:
            case "after":
                parse_duration(more)
                return {"after": more}
            case "key" | "key_for_ever":
                if not is_dynamic(more):
                    raise ValidationError(NEEDS_MORE[KEY])
                compile_value(more)
                return {"key": more, **({"release": "never"} if policy == KEY_FOR_EVER else {})}
            case "on_leave":
                return {"release": "on_leave"}
    except (DurationError, ParameterError) as error:
        raise ValidationError(str(error)) from None
    return None if policy == DEFAULT else policy
