"""Who is in which segment."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from contacts.models import Segment, SegmentMembership
from contacts.segments import change_members
from crm.scoping import TeamScopedAdmin


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
    list_display = ("member", "segment", "added_at", "by_run")
    list_display_links = None
    list_filter = ("segment", "added_at")
    extra_lookups = ("segment__id__exact",)
    search_fields = ("segment__name",)
    ordering = ("-id",)
    list_select_related = ("segment", "subject_type")
    fields = ("segment", "subject_type", "subject_id")
    nothing = "Members of lists are added here, by the API and by steps of pipelines; rules bring theirs by themselves."

    class Media:
        css = {"all": ("contacts/contacts.css",)}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[SegmentMembership]:
        rows: QuerySet[SegmentMembership] = super().get_queryset(request)
        return rows.prefetch_related("subject")

    def save_model(self, request: HttpRequest, obj: SegmentMembership, form: Any, change: bool) -> None:
        obj.added_at = timezone.now()
        change_members(added=[obj])
        obj.pk = SegmentMembership.objects.values_list("pk", flat=True).get(
            segment=obj.segment_id, subject_type=obj.subject_type_id, subject_id=obj.subject_id
        )

    def delete_model(self, request: HttpRequest, obj: SegmentMembership) -> None:
        change_members(removed=[(obj.segment_id, obj.subject_type_id, obj.subject_id)])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[SegmentMembership]) -> None:
        """Who is in a segment with a rule stays: the rule would put them back."""
        lists = queryset.filter(segment__kind=Segment.Kind.STATIC)
        change_members(removed=list(lists.values_list("segment_id", "subject_type_id", "subject_id")))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who is in a segment with a rule leaves by the rule."""
        return super().has_delete_permission(request, obj) and (obj is None or not obj.segment.is_dynamic)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "segment" and field is not None:
            field.queryset = field.queryset.filter(kind=Segment.Kind.STATIC)
        return field

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
        if row.segment.is_dynamic:
            return "rule"
        return f"run {row.run_id}" if row.run_id else "hand"
