"""Types of records that a team defines, and their records."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.html import format_html, format_html_join
from unfold.decorators import display

from contacts.admin.exporting import ExportPage
from contacts.admin.field_table import FieldTable, FieldTableField
from contacts.admin.importing_records import ImportPage
from contacts.admin.own_enrolling import EnrollOwnRecords
from contacts.admin.own_values import RecordForm, own_fields
from contacts.admin.page import RecordPage
from contacts.admin.records import count_of
from contacts.admin.remembering import RememberingPage
from contacts.field_changes import touched_values
from contacts.models import Record, RecordType
from contacts.record_fields import LABELS
from crm.once import once
from crm.scoping import TeamScopedAdmin


class RecordTypeForm(forms.ModelForm[RecordType]):
    """A type with a table of its fields; changes that matter to values of its records are asked about first."""

    class Meta:
        model = RecordType
        fields = ("label", "key", "fields")
        field_classes = {"fields": FieldTableField}
        widgets = {"fields": FieldTable}
        help_texts = {"fields": "Steps and the API name a field by its key, people by its label."}

    def clean(self) -> Any:
        data: dict[str, Any] = super().clean() or {}
        if self.instance.pk and isinstance(data.get("fields"), list):
            self._ask(data["fields"])
        return data

    def _ask(self, fields: list[Any]) -> None:
        touched = touched_values(kind=self.instance, fields=fields)
        table: Any = self.fields["fields"].widget
        table.warnings = [str(each) for each in touched]
        # Other changes, or more records, are another question.
        table.agreement = salted_hmac("record-type-fields", " ".join(table.warnings)).hexdigest()[:20]
        if touched and self.data.get(self.add_prefix("fields-agreed")) != table.agreement:
            self.add_error("fields", "Nothing is saved yet: records hold values that this matters to.")


@admin.register(RecordType)
class RecordTypeAdmin(TeamScopedAdmin[RecordType]):
    """Kinds of records of one's own."""

    form = RecordTypeForm
    list_display = ("label", "key", "count")
    search_fields = ("label", "key")
    ordering = ("label", "id")
    nothing = "A type says which fields its records have: products, orders, rooms, whatever you work with."

    class Media:
        css = {"all": ("contacts/contacts.css",)}

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = "fields" if self._may_write(request, obj) else "fields_told"
        return ["label", "key", fields] if self._hides_team(request, obj) else ["team", "label", "key", fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Steps name a type by its key, so it stays."""
        fields = (*super().get_readonly_fields(request, obj), "fields_told")
        return (*fields, "key") if obj is not None else fields

    def _may_write(self, request: HttpRequest, obj: Any) -> bool:
        return self.has_change_permission(request, obj) if obj is not None else self.has_add_permission(request)

    @display(description="Fields")
    def fields_told(self, row: Any) -> str:
        """For people who may look only."""
        lines = [(each.get("label") or each["key"], _in_words(each)) for each in row.fields]
        return format_html("<ul>{}</ul>", format_html_join("", "<li><strong>{}</strong>: {}</li>", lines))

    def get_queryset(self, request: HttpRequest) -> QuerySet[RecordType]:
        rows: QuerySet[RecordType] = super().get_queryset(request)
        return rows.annotate(record_count=count_of(Record.objects.filter(type=OuterRef("pk")), "type"))

    @display(description="Records", ordering="record_count")
    def count(self, row: Any) -> str:
        link = f"{reverse('admin:contacts_record_changelist')}?type__id__exact={row.pk}"
        return format_html('<a class="ct-link" href="{}">{}</a>', link, f"{row.record_count:,}")


@admin.register(Record)
class RecordAdmin(RememberingPage, ImportPage, ExportPage, EnrollOwnRecords, RecordPage, TeamScopedAdmin[Record]):
    """Records of one's own types, newest first."""

    form = RecordForm
    actions = ("enroll_selected", "export_selected")
    actions_list = ("import_page", "export_shown")
    list_display = ("__str__", "type", "created_at", "updated_at")
    list_filter = ("type", "created_at")
    extra_lookups = ("type__id__exact",)
    search_fields = ("values",)
    ordering = ("-id",)
    list_select_related = ("type",)
    nothing = "Define a type of record first, under Types of records; its records come here by hand, the API and steps."

    class Media:
        css = {"all": ("contacts/contacts.css",)}
        js = ("contacts/own_records.js",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return (*fields, "type") if obj is not None else fields

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A field for each of the type's; where there is no type yet, or nothing to write, what it holds as JSON."""
        team = [] if self._hides_team(request, obj) else ["team"]
        own = list(self._own(request, obj))
        if not own:
            return self.with_memory(request, obj, [(None, {"fields": [*team, "type", "values"]})])
        groups: list[Any] = [
            (None, {"fields": [*team, "type", *own]}),
            ("As JSON", {"classes": ("collapse",), "fields": ["values"]}),
        ]
        return self.with_memory(request, obj, groups)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = type("RecordForm", (RecordForm,), self._own(request, obj))
        return super().get_form(request, obj, change=change, **kwargs)

    def _own(self, request: HttpRequest, obj: Record | None) -> dict[str, forms.Field]:
        if obj is not None:
            return own_fields(obj.type, obj.values) if self.has_change_permission(request, obj) else {}
        chosen = request.POST.get("type") or request.GET.get("type") or ""
        if not chosen.isdecimal() or len(chosen) > 9:
            return {}
        kind = _type_of(request, int(chosen))
        return own_fields(kind, {}) if kind is not None else {}


def _type_of(request: HttpRequest, pk: int) -> RecordType | None:
    """A type of the team."""
    rows = RecordType.objects.for_team(getattr(request, "team", None)).filter(pk=pk)
    return once(request, ("own type", pk), rows.first)


def _in_words(field: Mapping[str, Any]) -> str:
    told = [LABELS[field["type"]].lower(), *(flag for flag in ("required", "personal") if field.get(flag))]
    options = ", ".join(field.get("options") or ())
    return f"{field['key']}, {', '.join(told)}" + (f": {options}" if options else "")
