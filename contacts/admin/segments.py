"""Segments and who is in them."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from contacts.admin.records import count_of
from contacts.models import Segment, SegmentMembership
from crm.scoping import TeamScopedAdmin


@admin.register(Segment)
class SegmentAdmin(TeamScopedAdmin[Segment]):
    """Named groups of records."""

    list_before_template = "admin/contacts/no_records.html"
    list_display = ("name", "key", "people")
    search_fields = ("name", "key")
    ordering = ("name", "id")
    fields = ("name", "key")
    nothing = "A segment is a group with a name, filled by hand, by the API or by steps of pipelines."

    class Media:
        css = {"all": ("contacts/contacts.css",)}

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {"key": ["name"]} if obj is None and self.has_add_permission(request) else {}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Segment]:
        rows: QuerySet[Segment] = super().get_queryset(request)
        through = SegmentMembership.objects.filter(segment=OuterRef("pk"))
        return rows.annotate(people_count=count_of(through, "segment"))

    @display(description="Members", ordering="people_count")
    def people(self, segment: Any) -> str:
        url = reverse("admin:contacts_segmentmembership_changelist")
        link = f"{url}?segment__id__exact={segment.pk}"
        return format_html('<a class="ct-link" href="{}">{}</a>', link, f"{segment.people_count:,}")


class MembershipForm(forms.ModelForm[SegmentMembership]):
    """A record that is to be in a segment; both must be of the team."""

    class Meta:
        model = SegmentMembership
        fields = ("segment", "subject_type", "subject_id")
        labels = {"subject_type": "Kind of record", "subject_id": "Number of the record"}


@admin.register(SegmentMembership)
class SegmentMembershipAdmin(TeamScopedAdmin[SegmentMembership]):
    """Who is in which segment, newest first; members are added and removed, never edited."""

    form = MembershipForm
    list_before_template = "admin/contacts/no_records.html"
    list_display = ("member", "segment", "added_at", "by_run")
    list_filter = ("segment", "added_at")
    extra_lookups = ("segment__id__exact",)
    search_fields = ("segment__name",)
    ordering = ("-id",)
    list_select_related = ("segment", "subject_type")
    fields = ("segment", "subject_type", "subject_id")
    nothing = "Members of segments are added here, by the API and by steps of pipelines."

    class Media:
        css = {"all": ("contacts/contacts.css",)}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[SegmentMembership]:
        rows: QuerySet[SegmentMembership] = super().get_queryset(request)
        return rows.prefetch_related("subject")

    def save_model(self, request: HttpRequest, obj: SegmentMembership, form: Any, change: bool) -> None:
        obj.added_at = timezone.now()
        super().save_model(request, obj, form, change)

    @display(description="Member")
    def member(self, row: SegmentMembership) -> str:
        if row.subject is None:
            return "-"
        try:
            url = reverse(f"admin:{row.subject_type.app_label}_{row.subject_type.model}_change", args=[row.subject_id])
        except NoReverseMatch:
            return str(row.subject)
        return format_html('<a class="ct-link" href="{}">{}</a>', url, row.subject)

    @display(description="Added by")
    def by_run(self, row: SegmentMembership) -> str:
        return f"run {row.run_id}" if row.run_id else "hand"
