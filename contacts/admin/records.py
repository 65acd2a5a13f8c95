"""Companies, deals, tags and the notes about all of them."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet, URLField
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from contacts.models import Activity, Company, Deal, Tag
from crm.scoping import TeamScopedAdmin

DEAL_COLORS = {"New": "info", "Proposal": "warning", "Negotiation": "warning", "Won": "success", "Lost": "danger"}


@admin.register(Company)
class CompanyAdmin(TeamScopedAdmin[Company]):
    """Organizations."""

    list_display = ("name", "domain", "industry", "owner", "people")
    list_filter = ("industry", "owner")
    search_fields = ("name", "domain", "phone")
    ordering = ("name", "id")
    list_select_related = ("owner",)
    fieldsets = (
        (None, {"fields": (("name", "industry"), ("domain", "website"), ("phone", "owner"), "address")}),
        ("More", {"classes": ("collapse",), "fields": ("custom",)}),
    )

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if isinstance(db_field, URLField):
            kwargs["assume_scheme"] = "https"
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Company]:
        rows: QuerySet[Company] = super().get_queryset(request)
        return rows.annotate(people_count=Count("contacts"))

    @display(description="People", ordering="people_count")
    def people(self, company: Any) -> str:
        return f"{company.people_count:,}"


@admin.register(Deal)
class DealAdmin(TeamScopedAdmin[Deal]):
    """Business that may be won."""

    list_display = ("title", "contact", "company", "stage_label", "worth", "expected_close", "owner")
    list_filter = ("stage", "owner")
    search_fields = ("title", "contact__last_name", "contact__email", "company__name")
    ordering = ("-id",)
    list_select_related = ("contact", "company", "owner")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "title", ("contact", "company"), ("stage", "owner"), ("amount", "currency"), "expected_close",
                )
            },
        ),
        ("More", {"classes": ("collapse",), "fields": ("custom",)}),
    )  # fmt: skip

    @display(description="Stage", ordering="stage", label=DEAL_COLORS)
    def stage_label(self, deal: Deal) -> str:
        return deal.get_stage_display()

    @display(description="Amount", ordering="amount")
    def worth(self, deal: Deal) -> str:
        return "-" if deal.amount is None else f"{deal.amount:,.2f} {deal.currency}"


@admin.register(Tag)
class TagAdmin(TeamScopedAdmin[Tag]):
    """Words that group contacts."""

    list_display = ("name", "people")
    search_fields = ("name",)
    ordering = ("name", "id")
    fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tag]:
        rows: QuerySet[Tag] = super().get_queryset(request)
        return rows.annotate(people_count=Count("contacts"))

    @display(description="People", ordering="people_count")
    def people(self, tag: Any) -> str:
        return f"{tag.people_count:,}"


@admin.register(Activity)
class ActivityAdmin(TeamScopedAdmin[Activity]):
    """Notes, calls and meetings, newest first."""

    list_display = ("short", "kind", "about", "author", "at")
    list_filter = ("kind", "author")
    search_fields = ("text",)
    ordering = ("-at", "-id")
    list_select_related = ("author", "subject_type")
    fields = ("kind", "text", "at", "subject_type", "subject_id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Activity]:
        rows: QuerySet[Activity] = super().get_queryset(request)
        return rows.prefetch_related("subject")

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        return {"at": timezone.now(), **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: Activity, form: Any, change: bool) -> None:
        if not change:
            obj.author_id = request.user.pk
        super().save_model(request, obj, form, change)

    @display(description="Text")
    def short(self, activity: Activity) -> str:
        return activity.text[:80]

    @display(description="About")
    def about(self, activity: Activity) -> str:
        return str(activity.subject or "-")
