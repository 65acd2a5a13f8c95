"""Types of records that a team defines, and their records."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from contacts.admin.own_enrolling import EnrollOwnRecords
from contacts.admin.page import RecordPage
from contacts.admin.records import count_of
from contacts.models import Record, RecordType
from contacts.record_fields import InvalidValues, checked
from crm.scoping import TeamScopedAdmin


class RecordTypeForm(forms.ModelForm[RecordType]):
    """A type with its fields as JSON."""

    class Meta:
        model = RecordType
        fields = ("label", "key", "fields")
        widgets = {"fields": UnfoldAdminTextareaWidget({"rows": 12})}


@admin.register(RecordType)
class RecordTypeAdmin(TeamScopedAdmin[RecordType]):
    """Kinds of records of one's own."""

    form = RecordTypeForm
    list_before_template = "admin/contacts/no_records.html"
    list_display = ("label", "key", "count")
    search_fields = ("label", "key")
    ordering = ("label", "id")
    nothing = "A type says which fields its records have: products, orders, rooms, whatever you work with."

    class Media:
        css = {"all": ("contacts/contacts.css",)}

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["label", "key", "fields"] if self._hides_team(request, obj) else ["team", "label", "key", "fields"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Steps name a type by its key, so it stays."""
        fields = super().get_readonly_fields(request, obj)
        return (*fields, "key") if obj is not None else fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[RecordType]:
        rows: QuerySet[RecordType] = super().get_queryset(request)
        return rows.annotate(record_count=count_of(Record.objects.filter(type=OuterRef("pk")), "type"))

    @display(description="Records", ordering="record_count")
    def count(self, row: Any) -> str:
        link = f"{reverse('admin:contacts_record_changelist')}?type__id__exact={row.pk}"
        return format_html('<a class="ct-link" href="{}">{}</a>', link, f"{row.record_count:,}")


class RecordForm(forms.ModelForm[Record]):
    """A record whose values fit its type."""

    class Meta:
        model = Record
        fields = ("type", "values")
        widgets = {"values": UnfoldAdminTextareaWidget({"rows": 8})}
        help_texts = {"values": 'An object such as {"name": "Tea", "quantity": 12}; the type says which keys it has.'}

    def clean(self) -> Any:
        data: dict[str, Any] = super().clean() or {}
        kind = data.get("type") or getattr(self.instance, "type", None) if self.instance.pk else data.get("type")
        values = data.get("values")
        if kind is None or values is None:
            return data
        try:
            data["values"] = checked(kind.fields, values if isinstance(values, dict) else {"values": values})
        except InvalidValues as error:
            self.add_error("values", ValidationError([f"{path}: {message}" for path, message in error.problems]))
        return data


@admin.register(Record)
class RecordAdmin(EnrollOwnRecords, RecordPage, TeamScopedAdmin[Record]):
    """Records of one's own types, newest first."""

    form = RecordForm
    list_before_template = "admin/contacts/no_records.html"
    list_display = ("__str__", "type", "created_at", "updated_at")
    list_filter = ("type", "created_at")
    extra_lookups = ("type__id__exact",)
    search_fields = ("values",)
    ordering = ("-id",)
    list_select_related = ("type",)
    fields = ("type", "values")
    nothing = "First define a type of record; then its records are added here, by the API and by steps of pipelines."

    class Media:
        css = {"all": ("contacts/contacts.css",)}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return (*fields, "type") if obj is not None else fields
