"""The steps of a pipeline as rows of its page: dragged into order, keyed, checked and archived."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.forms.models import BaseInlineFormSet

from pipelines.actions.registry import kinds
from pipelines.admin.fields import ConditionField, DelayField, JsonField, SpanField, delay_text
from pipelines.admin.inner_steps import BLOCKS, InsideField, inside_of, keys_inside, named, put_inside
from pipelines.models import Pipeline, PipelineStep
from pipelines.step_rows import archive_steps, name_steps, steps_of, with_inside

INPUT = {"class": "pl-input"}
# Actions of these groups speak to somebody, so the message of the step is shown with them.
SPEAKING_GROUPS = frozenset({"Messages"})


class ActionSelect(forms.Select):
    """Actions that this installation cannot run are shown, with what to do, and cannot be chosen anew."""

    def create_option(self, name: str, value: Any, label: Any, selected: bool, *args: Any, **kwargs: Any) -> Any:
        option = super().create_option(name, value, label, selected, *args, **kwargs)
        kind = kinds().get(str(value))
        if kind is not None and kind.off():
            option["label"] = f"{label} (off: {kind.off()})"
            if not selected:
                option["attrs"]["disabled"] = True
        return option


class StepForm(forms.ModelForm[PipelineStep]):
    """One step; raw texts only, the page's script draws friendlier controls above them."""

    number = forms.IntegerField(required=False, widget=forms.HiddenInput({"class": "pl-number"}))
    key = forms.CharField(required=False, max_length=40, widget=forms.TextInput({**INPUT, "spellcheck": "false"}))
    action_type = forms.ChoiceField(label="Action", widget=ActionSelect(INPUT))
    delay_text = DelayField(label="Wait before this step", widget=forms.TextInput({**INPUT, "placeholder": "no wait"}))
    data = JsonField(expect=dict, default={}, label="Data (JSON)")  # type: ignore[assignment]
    condition = ConditionField(label="Condition")
    inside = InsideField(label="Steps inside (JSON)")
    edges = JsonField(expect=dict, default={}, label="Edges (JSON)")
    retry = JsonField(label="Try again")
    timeout = SpanField(label="It may take at most")
    assign = JsonField(expect=dict, label="Set variables afterwards")

    class Meta:
        model = PipelineStep
        fields = [
            "number", "key", "action_type", "name", "message", "data", "condition", "edges", "next_key",
            "retry", "timeout", "assign", "delivery", "await_mode", "notes",
        ]  # fmt: skip
        widgets = {
            "name": forms.TextInput({**INPUT, "placeholder": "Name (optional)"}),
            "message": forms.Textarea({**INPUT, "rows": 4}),
            "notes": forms.Textarea({**INPUT, "rows": 2}),
            "next_key": forms.TextInput(INPUT),
            "delivery": forms.Select(INPUT),
            "await_mode": forms.Select(INPUT),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        step = self.instance
        self.fields["action_type"].choices = action_choices(step.action_type)  # type: ignore[attr-defined]
        self.fields["delay_text"].initial = delay_text(seconds=step.delay, rule=step.delay_rule)
        if step.pk is not None:
            # Runs, logs and edges know a step by its key, so it never changes.
            self.fields["key"].disabled = True

    def _post_clean(self) -> None:
        if "delay_text" in self.cleaned_data:
            self.instance.delay, self.instance.delay_rule = self.cleaned_data["delay_text"]
        super()._post_clean()  # type: ignore[misc]

    @property
    def title(self) -> str:
        """What the closed row says."""
        code = self["action_type"].value() or ""
        return str(self["name"].value() or action_label(code) or "New step")

    @property
    def icon(self) -> str:
        kind = kinds().get(self["action_type"].value() or "")
        return kind.icon if kind else "bolt"


class StepFormSet(BaseInlineFormSet[PipelineStep, Pipeline, StepForm]):
    """All steps of a pipeline: whatever numbers arrive, rows become 1..n in that order."""

    # Why the code that was sent may not be kept, once saving it was refused.
    refused_code = ""

    def clean(self) -> None:
        if self.refused_code:
            self._refuse_code()
        # A row that was deleted meanwhile, or was never of this pipeline, would leave two steps with one number.
        if any(form.instance.pk is None for form in self.initial_forms):
            raise forms.ValidationError("A step of this page is no longer there: load the page again.")
        forms_in_order = self._ordered()
        for number, form in enumerate(forms_in_order, start=1):
            form.instance.number = number
        self._name(forms_in_order)
        self._refuse_double_keys(forms_in_order)

    def save(self, commit: bool = True) -> Any:
        saved = super().save(commit=commit)
        if commit:
            rows = [form.instance for form in self._ordered() if form.instance.pk]
            PipelineStep.objects.bulk_update(rows, ["number"])
            self._fill_blocks(form for form in self._ordered() if form.instance.pk)
        return saved

    def _construct_form(self, i: int, **kwargs: Any) -> StepForm:
        form = super()._construct_form(i, **kwargs)  # type: ignore[misc]
        step: StepForm = form
        if step.instance.pk is not None:
            step.fields["inside"].initial = self._inside().get(step.instance.key, {})
        return step

    def _inside(self) -> dict[str, dict[str, list[Any]]]:
        """The steps inside each block by its key; one statement for the whole pipeline."""
        if not self.instance.pk:
            return {}
        if not hasattr(self, "_inner"):
            told = {step["key"]: inside_of(step) for step in steps_of(self.instance)}
            self._inner = {key: inside for key, inside in told.items() if inside}
        return self._inner

    def _inner_keys(self, rows: Iterable[StepForm]) -> list[str]:
        """Keys of the steps inside the blocks that stay, as the page sends them."""
        return [key for form in rows for key in keys_inside(_lists_of(form))]

    def _fill_blocks(self, rows: Iterable[StepForm]) -> None:
        """Put what stands inside blocks back where it belongs, when any of it changed."""
        rows = list(rows)
        taken = {form.instance.key for form in rows} | set(self._inner_keys(rows)) | self._archived_keys()
        wanted = {
            form.instance.key: named(_lists_of(form), stem=form.instance.key, taken=taken)
            for form in rows
            if form.instance.action_type in BLOCKS
        }
        changed = any("inside" in form.changed_data or "action_type" in form.changed_data for form in rows)
        branches = any(form.instance.action_type in BLOCKS and "data" in form.changed_data for form in rows)
        if changed or branches:
            put_inside(self.instance, wanted)

    def delete_existing(self, obj: PipelineStep, commit: bool = True) -> None:
        if commit:
            remove_step(obj)

    def _ordered(self) -> list[StepForm]:
        deleted = self.deleted_forms
        live = [form for form in self.forms if form not in deleted and (form.instance.pk or form.has_changed())]
        positions = {form: index for index, form in enumerate(self.forms)}
        return sorted(live, key=lambda form: (_number(form), positions[form]))

    def _name(self, rows: Iterable[StepForm]) -> None:
        rows = list(rows)
        for form in rows:
            if not form.instance.pk:
                form.instance.key = (form.cleaned_data.get("key") or "").strip()
        taken = {form.instance.key for form in rows if form.instance.key} | self._archived_keys()
        taken |= set(self._inner_keys(rows))
        name_steps([form.instance for form in rows if "action_type" in form.cleaned_data], taken=taken)

    def _refuse_code(self) -> None:
        """Beside each step whose code is not as it was; above all of them where it stands inside others."""
        rows = [form for form in self._ordered() if form.instance.action_type == "code" and "data" in form.changed_data]
        for form in rows:
            form.add_error("data", self.refused_code)
        if not rows:
            raise forms.ValidationError(self.refused_code)

    def _refuse_double_keys(self, rows: Iterable[StepForm]) -> None:
        rows = list(rows)
        inner = self._inner_keys(rows)
        archived, seen = self._archived_keys(), set(inner)
        for key in sorted({each for each in inner if inner.count(each) > 1}):
            for form in rows:
                if key in keys_inside(_lists_of(form)):
                    form.add_error("inside", f"Two steps have the key {key!r}.")
        for form in rows:
            key = form.instance.key
            if key in seen:
                form.add_error("key", f"Another step has the key {key!r} already.")
            elif key in archived:
                form.add_error("key", f"A removed step had the key {key!r}; choose another.")
            seen.add(key)

    def _archived_keys(self) -> set[str]:
        if not self.instance.pk:
            return set()
        if not hasattr(self, "_archived"):
            rows = self.instance.steps.filter(archived_at__isnull=False)
            self._archived = set(rows.values_list("key", flat=True))
        return self._archived


def remove_step(step: PipelineStep) -> None:
    """Archive a step, and those inside it, if it may have been published: runs and logs point to it. Else delete it."""
    if step.pipeline.current_version_id is None:
        step.delete()
        return
    archive_steps(step.pipeline, with_inside(step.pipeline, [step.pk]))


def action_label(code: str) -> str:
    """What an action is called, its code when it is not installed."""
    kind = kinds().get(code)
    return kind.label if kind else code


def _lists_of(form: StepForm) -> dict[str, list[Any]]:
    if form.instance.action_type not in BLOCKS:
        return {}
    found: dict[str, list[Any]] = getattr(form, "cleaned_data", {}).get("inside") or {}
    return found


def action_choices(current: str = "") -> list[tuple[str, Any]]:
    """Actions by group, and an unknown one that a row already has."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for code, kind in kinds().items():
        groups.setdefault(kind.group, []).append((code, kind.label))
    choices: list[tuple[str, Any]] = [("", "Choose an action…"), *groups.items()]
    if current and current not in kinds():
        choices.append((current, f"{current} (not available here)"))
    return choices


def _number(form: StepForm) -> int:
    value = form.cleaned_data.get("number") if hasattr(form, "cleaned_data") else None
    return value if isinstance(value, int) else 1_000_000
