"""A topic as a choice among those of the team, in forms whose model keeps its key as text."""

from collections.abc import Mapping
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget


def offer_topics(form: forms.BaseForm, topics: Mapping[str, str], *, empty: str) -> None:
    """Turn the field `topic` into a choice among names by key; `empty` says what none means.

    What a row names already stays choosable, so that saving it for another reason loses nothing.
    """
    field: Any = form.fields.get("topic")
    if field is None:
        return
    choices = {"": empty, **topics}
    kept = str(form.initial.get("topic") or "")
    choices.setdefault(kept, f"{kept} (no topic of this team)")
    form.fields["topic"] = forms.ChoiceField(
        choices=list(choices.items()),
        required=False,
        label=field.label,
        help_text=field.help_text,
        initial=field.initial,
        widget=UnfoldAdminSelectWidget(),
    )
