"""The form of a pipeline: who it is for, what it is called, and the few settings beside the steps."""

from typing import Any

from django import forms
from django.utils.text import slugify
from unfold.widgets import UnfoldAdminSelectWidget

from contacts.models import RecordType
from crm.models import Team
from pipelines.admin.edge_field import EdgesField
from pipelines.admin.fields import JsonArea, JsonField
from pipelines.models import Pipeline
from pipelines.operations.records import lock
from pipelines.operations.refusals import PipelineChanged
from pipelines.subjects import RECORD

LONGEST_KEY = 40


class PipelineForm(forms.ModelForm[Pipeline]):
    """Refuses to overwrite what somebody else saved meanwhile, and makes a key from the name."""

    # Whose types of record are offered; None offers those of all teams, as to who belongs to none.
    team: Team | None = None
    seen_revision = forms.IntegerField(required=False, widget=forms.HiddenInput())
    settings = JsonField(
        expect=dict,
        default={},
        help_text="Limits, time zone and hours; what stands nowhere here is as the team has it.",
    )
    variables = JsonField(expect=list, default=[], help_text="What runs remember; steps read and set it by its name.")
    exit_rules = JsonField(
        expect=list, default=[], label="Exit rules", help_text="When a run ends early, wherever it is."
    )
    goals = JsonField(expect=list, default=[], help_text="What counts as success.")

    edges = EdgesField()
    subject_record = forms.ChoiceField(
        required=False,
        label="Type of record",
        widget=UnfoldAdminSelectWidget,
        help_text="Which of your own types; only for pipelines about records.",
    )

    class Meta:
        model = Pipeline
        fields = (
            "name", "subject_type", "subject_record", "description", "key", "subject_alias", "auto_publish",
            "versioning", "settings", "variables", "exit_rules", "goals", "edges", "team",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["seen_revision"].initial = self.instance.revision
        self._offer_types()
        for field in self.fields.values():
            if isinstance(field.widget, JsonArea):
                field.widget.attrs["rows"] = 3
        if "key" in self.fields:
            self.fields["key"].required = False
            self.fields["key"].help_text = "Names the pipeline in documents and the API; made from the name if empty."

    def _offer_types(self) -> None:
        field: Any = self.fields.get("subject_record")
        if field is None:
            return
        rows = RecordType.objects.all() if self.team is None else RecordType.objects.for_team(self.team)
        found = dict(rows.order_by("label").values_list("key", "label"))
        if self.instance.subject_record:
            found.setdefault(self.instance.subject_record, self.instance.subject_record)
        if not found:
            # Nothing to choose: a pipeline about records is refused with a sentence where it says so.
            field.widget = forms.HiddenInput()
        field.choices = [("", "—"), *found.items()]
        field.initial = self.instance.subject_record

    def clean_subject_record(self) -> str:
        """A type goes with records, and records with a type."""
        key = str(self.cleaned_data.get("subject_record") or "")
        kind = self.cleaned_data.get("subject_type")
        about_records = kind is not None and f"{kind.app_label}.{kind.model}" == RECORD
        if about_records and len(self.fields["subject_record"].choices) < 2:  # type: ignore[attr-defined]
            self.add_error("subject_type", "This team has no types of records yet: define one under Types of records.")
        elif about_records and not key:
            raise forms.ValidationError("Choose which type of record it is about.")
        return key if about_records else ""

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if "subject_record" in self.cleaned_data:
            self.instance.subject_record = self.cleaned_data["subject_record"]
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
