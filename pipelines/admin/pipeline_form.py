"""The form of a pipeline: who it is for, what it is called, and the few settings beside the steps."""

from typing import Any

from django import forms
from django.utils.text import slugify

from pipelines.admin.fields import JsonArea, JsonField
from pipelines.models import Pipeline
from pipelines.operations.records import lock
from pipelines.operations.refusals import PipelineChanged

LONGEST_KEY = 40


class PipelineForm(forms.ModelForm[Pipeline]):
    """Refuses to overwrite what somebody else saved meanwhile, and makes a key from the name."""

    seen_revision = forms.IntegerField(required=False, widget=forms.HiddenInput())
    settings = JsonField(expect=dict, default={}, help_text="Limits, time zone, quiet hours; as JSON.")
    variables = JsonField(expect=list, default=[], help_text='Such as [{"name": "vip", "type": "boolean"}].')
    exit_rules = JsonField(expect=list, default=[], label="Exit rules", help_text="When a run ends early; as JSON.")
    goals = JsonField(expect=list, default=[], help_text="What counts as success; as JSON.")

    class Meta:
        model = Pipeline
        fields = (
            "name", "subject_type", "description", "key", "subject_alias", "auto_publish", "versioning", "settings",
            "variables", "exit_rules", "goals", "team",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["seen_revision"].initial = self.instance.revision
        for field in self.fields.values():
            if isinstance(field.widget, JsonArea):
                field.widget.attrs["rows"] = 3
        if "key" in self.fields:
            self.fields["key"].required = False
            self.fields["key"].help_text = "Names the pipeline in documents and the API; made from the name if empty."

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if "key" in self.fields and not self.cleaned_data.get("key") and "key" not in self.errors:
            if self.cleaned_data.get("team"):
                self.instance.team = self.cleaned_data["team"]
            name = str(self.cleaned_data.get("name") or "")
            self.cleaned_data["key"] = free_key(name=name, pipeline=self.instance)
        revision = self.cleaned_data.get("seen_revision")
        if self.instance.pk is not None and revision is not None:
            self.instance.revision = revision
            try:
                lock(self.instance)
            except PipelineChanged:
                self.add_error(
                    None,
                    "Somebody else changed this pipeline while you were editing. Your changes are still below: "
                    "open the pipeline in another tab, and save again here after you copied what you need.",
                )
        return cleaned


def free_key(*, name: str, pipeline: Pipeline) -> str:
    """A key made from the name that no other pipeline of the team has."""
    stem = slugify(name).replace("-", "_").strip("_") or "pipeline"
    stem = (stem if stem[0].isalpha() else f"pipeline_{stem}")[: LONGEST_KEY - 4]
    taken = set(
        Pipeline.objects.filter(team_id=pipeline.team_id, key__startswith=stem)
        .exclude(pk=pipeline.pk)
        .values_list("key", flat=True)
    )
    number = 1
    while (key := stem if number == 1 else f"{stem}_{number}") in taken:
        number += 1
    return key
