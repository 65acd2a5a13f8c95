"""Companies, deals, tags and the notes about all of them."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, F, IntegerField, OuterRef, QuerySet, Subquery, URLField
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from contacts.admin.exporting import ExportPage
from contacts.admin.fields import CustomValuesField
from contacts.admin.importing_records import ImportPage
from contacts.admin.own_field_forms import OwnFieldsPage
from contacts.admin.page import SHOWN, Card, Line, RecordPage
from contacts.admin.remembering import RememberingForm, RememberingPage
from contacts.models import Activity, Company, Contact, Deal, Tag
from crm.scoping import TeamScopedAdmin

DEAL_COLORS = {"New": "info", "Proposal": "warning", "Negotiation": "warning", "Won": "success", "Lost": "danger"}
SYSTEMS = (Activity.Kind.CHANGE, Activity.Kind.MERGE)


class CompanyForm(RememberingForm):
    """A company with checked custom values."""

    address = forms.CharField(required=False, widget=UnfoldAdminTextareaWidget({"rows": 3}))
    custom = CustomValuesField()


@admin.register(Company)
class CompanyAdmin(RememberingPage, ImportPage, ExportPage, OwnFieldsPage, RecordPage, TeamScopedAdmin[Company]):
    """Organizations."""

    form = CompanyForm
    actions = ("export_selected",)
    actions_list = ("import_page", "export_shown")
    list_display = ("name", "domain", "industry", "owner", "people")
    list_filter = ("industry", "owner")
    search_fields = ("name", "domain", "phone")
    ordering = ("name", "id")
    list_select_related = ("owner",)
    fieldsets = (
        (None, {"fields": (("name", "industry"), ("domain", "website"), ("phone", "owner"), "address")}),
        ("More", {"classes": ("collapse",), "fields": ("custom",)}),
    )
    nothing = "A company gathers its people and its deals. Imports make companies by themselves."

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if isinstance(db_field, URLField):
            kwargs["assume_scheme"] = "https"
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Company]:
        rows: QuerySet[Company] = super().get_queryset(request)
        return rows.annotate(people_count=count_of(Contact.objects.filter(company=OuterRef("pk")), "company"))

    def cards(self, request: HttpRequest, record: Company) -> list[Card]:
        people = Contact.objects.filter(company=record)
        where = f"?company__id__exact={record.pk}"
        return [people_card(people, where), deals_card(Deal.objects.filter(company=record), where)]

    @display(description="People", ordering="people_count")
    def people(self, company: Any) -> str:
        return f"{company.people_count:,}"


class DealForm(RememberingForm):
    """A deal whose amount makes sense."""

    custom = CustomValuesField()

    def clean_amount(self) -> Any:
        amount = self.cleaned_data["amount"]
        if amount is not None and amount < 0:
            raise forms.ValidationError("An amount is not negative.")
        return amount

    def clean_currency(self) -> str:
        currency = str(self.cleaned_data["currency"]).upper()
        if len(currency) != 3 or not currency.isascii() or not currency.isalpha():
            raise forms.ValidationError("Use three letters, such as EUR.")
        return currency


@admin.register(Deal)
class DealAdmin(RememberingPage, ImportPage, ExportPage, OwnFieldsPage, RecordPage, TeamScopedAdmin[Deal]):
    """Business that may be won."""

    form = DealForm
    actions = ("export_selected",)
    actions_list = ("import_page", "export_shown")
    list_display = ("title", "contact", "company", "stage_label", "worth", "expected_close", "owner")
    list_filter = ("stage", "owner", "expected_close")
    search_fields = ("title", "contact__last_name", "contact__email", "company__name")
    ordering = ("-id",)
    list_select_related = ("contact", "company", "owner")
    extra_lookups = ("contact__id__exact", "company__id__exact")
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
    nothing = "A deal is business that may be won: what it is worth, and when it is expected to close."

    @display(description="Stage", ordering="stage", label=DEAL_COLORS)
    def stage_label(self, deal: Deal) -> str:
        return deal.get_stage_display()

    @display(description="Amount", ordering="amount")
    def worth(self, deal: Deal) -> str:
        return _money(deal) or "-"


@admin.register(Tag)
class TagAdmin(TeamScopedAdmin[Tag]):
    """Words that group contacts."""

    list_display = ("name", "people")
    search_fields = ("name",)
    ordering = ("name", "id")
    fields = ("name",)
    nothing = "Tags are made where they are used: on the page of a contact, by an import or by a pipeline."

    class Media:
        css = {"all": ("contacts/contacts.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tag]:
        rows: QuerySet[Tag] = super().get_queryset(request)
        through = Contact.tags.through._default_manager.filter(tag=OuterRef("pk"))
        return rows.annotate(people_count=count_of(through, "tag"))

    @display(description="People", ordering="people_count")
    def people(self, tag: Any) -> str:
        url = reverse("admin:contacts_contact_changelist")
        return format_html('<a class="ct-link" href="{}?tag={}">{}</a>', url, tag.pk, f"{tag.people_count:,}")


@admin.register(Activity)
class ActivityAdmin(TeamScopedAdmin[Activity]):
    """Notes, calls and meetings, newest first; they are written on the page of the record they are about."""

    list_display = ("short", "kind", "about", "written_by", "at")
    list_filter = ("kind", "author", "at")
    search_fields = ("text",)
    ordering = ("-at", "-id")
    list_select_related = ("author", "subject_type")
    fields = ("text", "kind", "about", "written_by", "at")
    readonly_fields = ("kind", "about", "written_by", "at")
    nothing = "Notes, calls and meetings are written on the pages of contacts, companies and deals."

    class Media:
        css = {"all": ("contacts/contacts.css",)}

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What the system wrote down stays as it is."""
        return super().has_change_permission(request, obj) and getattr(obj, "kind", "") not in SYSTEMS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Activity]:
        rows: QuerySet[Activity] = super().get_queryset(request)
        return rows.prefetch_related("subject")

    @display(description="Text")
    def short(self, activity: Activity) -> str:
        return activity.text[:80]

    @display(description="Author", ordering="author")
    def written_by(self, activity: Activity) -> str:
        return str(activity.author.get_full_name() or activity.author) if activity.author else "-"

    @display(description="About")
    def about(self, activity: Activity) -> str:
        if activity.subject is None:
            return "-"
        kind: ContentType = activity.subject_type
        try:
            url = reverse(f"admin:{kind.app_label}_{kind.model}_change", args=[activity.subject_id])
        except NoReverseMatch:
            return str(activity.subject)
        return format_html('<a class="ct-link" href="{}">{}</a>', url, activity.subject)


def people_card(rows: QuerySet[Contact], where: str) -> Card:
    """Some people and how many more there are."""
    found = list(rows.order_by("last_name", "first_name", "pk")[:SHOWN])
    lines = [
        Line(str(row), reverse("admin:contacts_contact_change", args=[row.pk]), row.job_title or row.email)
        for row in found
    ]
    more = rows.count() - SHOWN if len(found) == SHOWN else 0
    return Card("People", lines, "Nobody yet.", more, reverse("admin:contacts_contact_changelist") + where)


def deals_card(rows: QuerySet[Deal], where: str) -> Card:
    """The newest deals and how many more there are."""
    found = list(rows.order_by("-pk")[:SHOWN])
    lines = [Line(row.title, reverse("admin:contacts_deal_change", args=[row.pk]), _deal_detail(row)) for row in found]
    more = rows.count() - SHOWN if len(found) == SHOWN else 0
    return Card("Deals", lines, "No deal yet.", more, reverse("admin:contacts_deal_changelist") + where)


def _deal_detail(deal: Deal) -> str:
    close = f"expected {deal.expected_close:%d %b %Y}".replace(" 0", " ") if deal.expected_close else ""
    return " · ".join(filter(None, [deal.get_stage_display(), _money(deal), close]))


def _money(deal: Deal) -> str:
    return "" if deal.amount is None else f"{deal.amount:,.2f}\N{NO-BREAK SPACE}{deal.currency}"


def count_of(rows: QuerySet[Any], key: str) -> Coalesce:
    """A count for the rows of a page only, where a join would count the whole table first."""
    counted = rows.order_by().values(key).annotate(n=Count(F("pk"))).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)
