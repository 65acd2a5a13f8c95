"""The page of a contact and the list of contacts."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action, display

from contacts import hooks, operations
from contacts.admin import duplicates, erasing, handing_out, importing
from contacts.admin.bulk import BulkActions
from contacts.admin.contact_form import ContactForm
from contacts.admin.own_field_forms import OwnFieldsPage
from contacts.admin.page import Card, RecordPage
from contacts.admin.records import deals_card
from contacts.admin.remembering import RememberingPage
from contacts.merging import MAX_OTHERS
from contacts.models import Contact, Deal, Segment, SegmentMembership, Tag
from contacts.queries import search, with_email
from crm.scoping import TeamScopedAdmin

ADMIN = "admin:contacts_contact"
STAGE_COLORS = {
    "Lead": "info", "Qualified": "info", "Opportunity": "warning", "Customer": "success", "Former customer": "danger",
}  # fmt: skip


class TagFilter(admin.SimpleListFilter):
    """Contacts with one tag of the team."""

    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        team = getattr(request, "team", None)
        rows = Tag.objects.for_team(team).order_by("name").values_list("pk", "name")[:200]
        return [(str(pk), name) for pk, name in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Contact]) -> QuerySet[Contact]:
        value = self.value()
        if not value or not value.isdigit():
            return queryset
        rows = Tag.objects.for_team(getattr(request, "team", None)).filter(pk=int(value)).values("contacts")
        return queryset.filter(pk__in=rows)


class SegmentFilter(admin.SimpleListFilter):
    """Contacts in one segment of the team."""

    title = "segment"
    parameter_name = "segment"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        team = getattr(request, "team", None)
        rows = Segment.objects.for_team(team).order_by("name", "pk").values_list("pk", "name")[:200]
        return [(str(pk), name) for pk, name in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Contact]) -> QuerySet[Contact]:
        value = self.value()
        if not value or not value.isdigit():
            return queryset
        members = SegmentMembership.objects.for_team(getattr(request, "team", None)).filter(segment=int(value))
        kind = ContentType.objects.get_for_model(Contact)
        return queryset.filter(pk__in=members.filter(subject_type=kind).values("subject_id"))


@admin.register(Contact)
class ContactAdmin(RememberingPage, BulkActions, OwnFieldsPage, RecordPage, TeamScopedAdmin[Contact]):
    """People: found by any word, changed through the same operations as everywhere."""

    form = ContactForm
    own_fields_before = "tag_names"
    list_before_template = "admin/contacts/no_contacts.html"
    list_display = ("person", "company", "stage", "owner", "tag_words", "last_interaction")
    list_display_links = ("person",)
    list_filter = (
        "lifecycle_stage",
        "owner",
        TagFilter,
        SegmentFilter,
        ("company", AutocompleteSelectFilter),
        "lead_source",
    )
    list_select_related = ("company", "owner")
    search_fields = ("first_name", "last_name", "email", "phone")
    search_help_text = "Name, email, phone, company or tag"
    ordering = ("-id",)
    actions_list = ("import_page", "export_shown", "duplicates_page")
    actions_detail = ("hand_out_page", "erase_page")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("first_name", "last_name"),
                    ("email", "phone"),
                    ("company", "job_title"),
                    ("lifecycle_stage", "owner"),
                    "tag_names",
                    "pipelines",
                )
            },
        ),
        (
            "More",
            {
                "classes": ("collapse",),
                "fields": (("lead_source", "language"), "timezone", "last_interaction", "custom"),
            },
        ),
    )

    @display(description="Name", ordering="last_name", header=True)
    def person(self, contact: Contact) -> tuple[str, str]:
        return str(contact), contact.email

    @display(description="Stage", ordering="lifecycle_stage", label=STAGE_COLORS)
    def stage(self, contact: Contact) -> str:
        return contact.get_lifecycle_stage_display()

    @display(description="Tags")
    def tag_words(self, contact: Contact) -> str:
        return ", ".join(sorted(tag.name for tag in contact.tags.all())) or "-"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Contact]:
        rows: QuerySet[Contact] = super().get_queryset(request)
        return rows.prefetch_related("tags")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        return search(contacts=queryset, text=search_term, team=getattr(request, "team", None)), False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        more = {"may_import": self._may("bulk", request), **(extra_context or {})}
        return super().changelist_view(request, more)

    def get_urls(self) -> Any:
        merge = path("merge/", self.admin_site.admin_view(self.merge_page), name="contacts_contact_merge")
        return [merge, *super().get_urls()]

    @action(description="Import", icon="upload", permissions=["bulk"], url_path="import")
    def import_page(self, request: HttpRequest) -> HttpResponse:
        return importing.upload_view(request, model_admin=self)

    @action(description="Duplicates", icon="group_remove", permissions=["merge"], url_path="duplicates")
    def duplicates_page(self, request: HttpRequest) -> HttpResponse:
        return duplicates.duplicates_view(request, model_admin=self)

    @action(description="Hand out data", icon="folder_zip", permissions=["hand_out"], url_path="hand-out")
    def hand_out_page(self, request: HttpRequest, object_id: str) -> Any:
        return handing_out.hand_out_view(request, object_id, model_admin=self)

    @action(description="Erase…", icon="person_remove", permissions=["erase"], url_path="erase")
    def erase_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return erasing.erase_view(request, object_id, model_admin=self)

    def merge_page(self, request: HttpRequest) -> HttpResponse:
        return duplicates.merge_view(request, model_admin=self)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may only look sees tags as words; the pipelines stand in their own card."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        seen: list[Any] = ["tag_words" if name == "tag_names" else name for name in fieldsets[-2][1]["fields"]]
        first = {"fields": [name for name in seen if name != "pipelines"]}
        return [*fieldsets[:-2], (None, first), fieldsets[-1]]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*super().get_readonly_fields(request, obj), "tag_words")

    def cards(self, request: HttpRequest, record: Contact) -> list[Card]:
        return [deals_card(Deal.objects.filter(contact=record), f"?contact__id__exact={record.pk}")]

    def save_model(self, request: HttpRequest, obj: Contact, form: Any, change: bool) -> None:
        """One operation writes the contact; what it made is put into the row of the form."""
        user: Any = request.user
        if change:
            stored = Contact.objects.select_related("team").get(pk=obj.pk)
            saved = operations.update_contact(contact=stored, values=form.values, by=user)
        else:
            team = getattr(request, "team", None) or obj.team
            saved = operations.create_contact(team=team, values=form.values, by=user)
        obj.__dict__.update(
            {name: value for name, value in saved.__dict__.items() if not name.startswith("_prefetched")}
        )
        self._assign(request, saved, form)
        self.tell_written_over(request, form)
        if "email" in form.changed_data:
            self._point_at_duplicates(request, saved)

    def _assign(self, request: HttpRequest, contact: Contact, form: Any) -> None:
        """Put the contact into the pipelines that were ticked and take it out of those that were cleared."""
        wish = form.pipeline_wish
        if not wish.add and not wish.remove:
            return
        current = set(hooks.manual_pipelines.current(subject=contact))
        user: Any = request.user
        refused = hooks.manual_pipelines.sync(
            subject=contact, pipelines=sorted((current - set(wish.remove)) | set(wish.add)), by=user
        )
        for sentence in refused.values():
            messages.warning(request, f"Not put into a pipeline: {sentence}")

    def _point_at_duplicates(self, request: HttpRequest, contact: Contact) -> None:
        if not contact.email:
            return
        same = with_email(team=contact.team, emails=[contact.email]).exclude(pk=contact.pk).order_by("pk")
        ids = list(same.values_list("pk", flat=True)[:MAX_OTHERS])
        if not ids:
            return
        text = "Another contact has this email." if len(ids) == 1 else f"{len(ids)} other contacts have this email."
        query = urlencode({"id": [*ids, contact.pk]}, doseq=True)
        link = format_html(' <a class="ct-link" href="{}?{}">Merge them…</a>', reverse(f"{ADMIN}_merge"), query)
        messages.warning(request, format_html("{}{}", text, link if self._may("merge", request) else ""))
