"""The form of a contact: tags as words, custom values as JSON, pipelines as boxes to tick.

Only what a person changed is written (see `remembering`): a stage set by a pipeline meanwhile stays,
and a run that began meanwhile is not ended by a box that was never there to be ticked.
"""

from typing import Any, NamedTuple

from django import forms

from contacts import hooks
from contacts.admin.fields import CustomValuesField, TagNamesField
from contacts.admin.remembering import RememberingForm
from contacts.models import Contact
from contacts.tagging import clean_names
from crm.channels.letters import number_problem

FIELDS = (
    "first_name", "last_name", "email", "phone", "job_title", "company", "owner", "lifecycle_stage", "lead_source",
    "timezone", "language", "last_interaction", "custom",
)  # fmt: skip
NAMING = ("first_name", "last_name", "email", "phone")


class PipelineWish(NamedTuple):
    """What a person changed among the boxes."""

    add: list[int]
    remove: list[int]


class ContactForm(RememberingForm):
    """Everything a person may set; what is chosen is written by one operation."""

    current_team: Any = None
    tag_names = TagNamesField(required=False)
    custom = CustomValuesField(
        help_text='Such as {"favorite_color": "blue"}; conditions and messages read them as contact.favorite_color.',
    )
    pipelines = forms.MultipleChoiceField(
        label="Pipelines",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Ticking puts the contact in. Clearing a box ends the run in that pipeline.",
    )

    worked_out = ("tag_names", "pipelines")

    class Meta:
        model = Contact
        fields = FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = bool(self.instance.pk)
        if known:
            self.fields["tag_names"].initial = ", ".join(sorted(tag.name for tag in self.instance.tags.all()))
        field: Any = self.fields["pipelines"]
        field.choices = self._pipelines()
        if known:
            field.initial = [str(pk) for pk in hooks.manual_pipelines.current(subject=self.instance)]
        if not field.choices:
            field.widget = forms.HiddenInput()
            field.help_text = ""
            field.label = ""

    def _pipelines(self) -> list[tuple[str, str]]:
        team = self.current_team or getattr(self.instance, "team", None) if self._has_team() else self.current_team
        if team is None:
            return []
        return [(str(choice.id), choice.name) for choice in hooks.manual_pipelines.choices(team=team, model=Contact)]

    def _has_team(self) -> bool:
        return self.instance.team_id is not None

    def clean_pipelines(self) -> list[int]:
        return [int(pk) for pk in self.cleaned_data["pipelines"]]

    def clean_phone(self) -> str:
        """A number that stands there already is left alone."""
        phone = str(self.cleaned_data["phone"] or "")
        problem = number_problem(phone) if phone and phone != self.initial.get("phone") else ""
        if problem:
            raise forms.ValidationError(problem)
        return phone

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not self.errors and not any(self.cleaned_data.get(name) for name in NAMING):
            self.add_error(None, "Give a name, an email or a phone number.")
        return cleaned

    def now(self, name: str) -> Any:
        if name == "tag_names":
            return ", ".join(sorted(self.cleaned_data[name])) or None
        return super().now(name)

    @property
    def values(self) -> dict[str, Any]:
        """What the operations take: the touched fields, a cleared custom value named with null so that it goes."""
        wanted = {name: self.cleaned_data[name] for name in FIELDS if self._is_wanted(name)}
        if "custom" in wanted:
            wanted["custom"] = self.custom_changes
        if self._is_wanted("tag_names"):
            wanted["tags"] = self._tags()
        return wanted

    def _is_wanted(self, name: str) -> bool:
        if name not in self.cleaned_data:
            return False
        return self.touched is None or name in self.touched or (name == "custom" and bool(self.custom_changes))

    def _tags(self) -> list[str]:
        """The tags the contact has by now, with what was typed added and what was taken out removed."""
        before = {name.lower() for name in clean_names(str(self.before("tag_names") or "").split(","))}
        typed = {name.lower() for name in self.cleaned_data["tag_names"]}
        stored = [tag.name for tag in self.instance.tags.all()] if self.instance.pk else []
        kept = [name for name in stored if name.lower() in typed or name.lower() not in before]
        return clean_names([*kept, *(name for name in self.cleaned_data["tag_names"] if name.lower() not in before)])

    @property
    def pipeline_wish(self) -> PipelineWish:
        before, now = {int(pk) for pk in self.before("pipelines") or []}, set(self.cleaned_data["pipelines"])
        return PipelineWish(add=sorted(now - before), remove=sorted(before - now))
