"""Ways into a pipeline, as rows of its page and as a page of their own."""

from typing import Any

from django import forms
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils import timezone

from crm.scoping import TeamScopedStackedInline
from pipelines.admin.fields import ConditionField, JsonField
from pipelines.admin.reentry import ReentryField
from pipelines.admin.steps import INPUT
from pipelines.definition.conditions import ConditionError, compile_condition
from pipelines.definition.durations import DurationError, compact_duration, parse_duration
from pipelines.models import AutomaticPipeline, Pipeline, PipelineRun, Trigger

CHECKBOX = {"class": "pl-check"}


class TriggerForm(forms.ModelForm[Any]):
    """One way in; a change raises its revision, so that old decisions can be explained."""

    where = ConditionField(label="Only if")
    reentry = ReentryField()

    def has_changed(self) -> bool:
        """A row that somebody added is meant, even with every field as it came."""
        return self.instance.pk is None or super().has_changed()

    def clean_where(self) -> Any:
        """A condition that cannot be read would keep everybody out, so it is refused here."""
        where = self.cleaned_data["where"]
        if where in (None, "", [], {}):
            return None
        try:
            compile_condition(where)
        except ConditionError as error:
            raise forms.ValidationError(str(error)) from None
        return where

    def save(self, commit: bool = True) -> Any:
        if self.instance.pk and self.changed_data:
            self.instance.revision += 1
        if self.has_changed():
            live = self.instance.enabled and self.instance.pipeline.status == Pipeline.Status.ACTIVE
            # Records from before a change are left alone: nobody knows what was promised to them.
            self.instance.armed_at = timezone.now() if live else None
            self.instance.next_fire_at = None
        if self.instance.model_id is None and self.instance.kind in RECORD_KINDS:
            self.instance.model_id = self.instance.pipeline.subject_type_id
        return super().save(commit=commit)


RECORD_KINDS = (Trigger.Kind.CREATED, Trigger.Kind.UPDATED, Trigger.Kind.DELETED)


class AutomaticForm(TriggerForm):
    """A model whose new records enter by themselves."""

    class Meta:
        model = AutomaticPipeline
        fields = ["model", "enabled", "reentry", "where"]
        widgets = {"model": forms.Select(INPUT), "enabled": forms.CheckboxInput(CHECKBOX)}


class NamesField(forms.CharField):
    """Names of fields, with commas between."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, widget=forms.TextInput({**INPUT, "placeholder": "email, plan"}), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str] | None:
        names = [name.strip() for name in str(value or "").split(",")]
        return list(dict.fromkeys(filter(None, names))) or None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return self.clean(data) != (initial or None)


class SpanField(forms.CharField):
    """A span of time as people write it, kept in seconds."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, widget=forms.TextInput({**INPUT, "placeholder": "1h"}), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return compact_duration(value) if isinstance(value, int) else value

    def clean(self, value: Any) -> int | None:
        text = str(value or "").strip()
        if not text:
            return None
        try:
            seconds = parse_duration(int(text) if text.isdigit() else text)
        except DurationError as error:
            raise forms.ValidationError(str(error)) from None
        if not seconds.is_integer() or not 1 <= seconds < 2**31:
            raise forms.ValidationError("Give whole seconds, at least one.")
        return int(seconds)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return self.clean(data) != (initial or None)
        except forms.ValidationError:
            return True


class OtherTriggerForm(TriggerForm):
    """Events, schedules and the rest."""

    class Meta:
        model = Trigger
        fields = [
            "kind", "key", "model", "only_fields", "event", "segment", "cron", "tz", "misfire", "overlap", "for_each",
            "every", "silence", "debounce", "subject_expression", "reentry", "max_per_hour", "enabled", "where",
        ]  # fmt: skip
        labels = {
            "for_each": "For each record",
            "max_per_hour": "At most an hour",
            "subject_expression": "Who enters",
            "tz": "Time zone",
        }
        help_texts = {
            "segment": "Its members enter. Or leave this empty and say below who belongs to it.",
            "tz": "Empty is that of the pipeline, else of the team.",
            "max_per_hour": "Who comes beyond it is turned away, and listed on “Ways in”.",
            "misfire": "What becomes of times that were missed while nobody was at work.",
            "overlap": "Whether it may begin while the runs of the last time are under way.",
            "subject_expression": "Such as {{ trigger.record.contact }}, where the event is about another record.",
        }
        widgets = {
            "kind": forms.Select(INPUT),
            "key": forms.TextInput(INPUT),
            "model": forms.Select(INPUT),
            "event": forms.TextInput({**INPUT, "placeholder": "order.paid", "list": "pl-events"}),
            "segment": forms.TextInput({**INPUT, "placeholder": "customers", "list": "pl-segments"}),
            "cron": forms.TextInput({**INPUT, "placeholder": "0 9 * * mon"}),
            "tz": forms.TextInput({**INPUT, "placeholder": "Europe/Berlin"}),
            "misfire": forms.Select(INPUT),
            "overlap": forms.Select(INPUT),
            "subject_expression": forms.TextInput({**INPUT, "placeholder": "{{ trigger.contact_id }}"}),
            "max_per_hour": forms.NumberInput(INPUT),
            "enabled": forms.CheckboxInput(CHECKBOX),
        }

    only_fields = NamesField(label="Only when these change")
    every = SpanField(label="Looks every", help_text="Such as 1h; empty is every hour.")
    silence = SpanField(
        label="Nothing heard for", help_text="Such as 30d, for the event contact_inactive: once for each silence."
    )
    debounce = SpanField(label="Waits for quiet", help_text="Such as 10m: changes in quick succession count once.")
    for_each = JsonField(expect=dict, label="For each record", help_text='Such as {"model": "contacts.contact"}.')

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            self.fields["kind"].initial = Trigger.Kind.MANUAL.value


class TriggerFormSet(BaseInlineFormSet[Any, Pipeline, Any]):
    """Rows of one kind of way in; the models to choose from are read once for all of them."""

    _models: list[Any] | None = None

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        field = form.fields.get("model")
        if field is None:
            return
        if self._models is None:
            # Its iterator, which does not count the rows before it reads them.
            self._models = list(iter(field.choices))
        field.choices = self._models

    def delete_existing(self, obj: Trigger, commit: bool = True) -> None:
        if commit:
            remove_trigger(obj)


class TriggerInline(TeamScopedStackedInline):
    """Everything beside automatic enrollment."""

    model = Trigger
    form = OtherTriggerForm
    formset = TriggerFormSet
    template = "admin/pipelines/triggers_inline.html"
    verbose_name = "trigger"
    verbose_name_plural = "Other triggers"
    heading_help = "Such as by hand; records enter only if they meet the conditions."

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Closing a way in is a change of its pipeline."""
        return self.has_change_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(automatic=False).order_by("position", "id")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "model" and field is not None:
            plain_labels(field)
            field.empty_label = "The record the pipeline applies to"
        return field

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Plain controls: no "add another model" beside them, and the look of the editor."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and hasattr(field.widget, "widget"):
            field.widget = field.widget.widget
            field.widget.attrs["class"] = INPUT["class"]
        return field


class AutomaticInline(TriggerInline):
    """Automatic for: every new record of a model."""

    model = AutomaticPipeline
    form = AutomaticForm  # type: ignore[assignment]
    verbose_name = "automatic enrollment"
    verbose_name_plural = "Automatic for"
    heading_help = "Every new record enters this pipeline by itself, the moment it is saved."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super(TriggerInline, self).get_queryset(request).order_by("position", "id")


def remove_trigger(trigger: Trigger) -> None:
    """Delete a way in; its runs go on and forget which trigger began them."""
    PipelineRun.objects.filter(pipeline_id=trigger.pipeline_id, trigger_id=trigger.pk).update(trigger=None)
    trigger.delete()


def plain_labels(field: Any) -> None:
    """Say "Contact", not "Contacts | contact"."""
    field.label_from_instance = model_words


def model_words(kind: ContentType) -> str:
    """A model as people say it."""
    return kind.name.capitalize()


def subject_words(kind: ContentType, pipeline: Pipeline) -> str:
    """What a pipeline is about as people say it; one of the team's own types by its key."""
    own = pipeline.subject_record.replace("_", " ")
    return own.capitalize() if own else model_words(kind)
