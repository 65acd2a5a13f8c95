"""Segments: lists that are filled, and rules with the contacts who meet them, shown while the rule is written."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminRadioSelectWidget

from contacts.admin.records import count_of
from contacts.models import Segment, SegmentMembership, Tag
from contacts.segments import keep_rule
from crm.models import Team
from crm.scoping import TeamScopedAdmin
from pipelines.admin.editor import contact_fields, operators
from pipelines.admin.fields import ConditionField
from pipelines.admin.links import table_time
from pipelines.engine.clock import engine_now
from pipelines.engine.segments.rule import problems
from pipelines.models import EventType
from pipelines.operations.segment_types import TypedRules
from pipelines.triggers.told import BUILT_IN, OWN

MOST_NAMES = 200
SHOWN = 10
# Fields say better how a record is than how often it was written.
RECORD_EVENTS = {"created", "updated", "deleted", "stage_changed", "segment_entered", "segment_left"}


class SegmentForm(forms.ModelForm[Segment]):
    """A list, or a rule."""

    kept_by = forms.ChoiceField(
        label="Who belongs to it",
        choices=[
            (Segment.Kind.DYNAMIC.value, "Contacts who meet a rule"),
            (Segment.Kind.STATIC.value, "Records that people, programs and steps put in"),
        ],
        initial=Segment.Kind.DYNAMIC.value,
        widget=UnfoldAdminRadioSelectWidget,
    )
    where = ConditionField(label="Rule")

    class Meta:
        model = Segment
        fields = ("name", "key", "where")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "where" in self.fields:
            self.fields["where"].widget.attrs["data-condition"] = "true"
        if self.instance.pk is not None:
            self.fields.pop("kept_by", None)
            if not self.instance.is_dynamic:
                self.fields.pop("where", None)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        kind = cleaned.get("kept_by") or self.instance.kind
        if kind == Segment.Kind.STATIC:
            cleaned["where"] = None
        elif "where" in cleaned:
            for problem in problems(cleaned["where"]):
                self.add_error("where", problem)
        return cleaned


@admin.register(Segment)
class SegmentAdmin(TeamScopedAdmin[Segment]):
    """Named groups of records."""

    form = SegmentForm
    change_form_template = "admin/pipelines/segment_form.html"
    list_display = ("name", "key", "how", "people", "looked")
    list_filter = ("kind",)
    search_fields = ("name", "key")
    ordering = ("name", "id")
    nothing = (
        "A segment is a group with a name: contacts who meet a rule, followed as they change, or a list filled by "
        "hand, by the API or by steps of pipelines. Entering one can start a pipeline."
    )

    class Media:
        css = {"all": ("contacts/contacts.css", "pipelines/pipelines.css")}
        js = ("pipelines/dom.js", "pipelines/conditions.js", "pipelines/segments.js")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.preview_page)
        return [path("preview/", view, name="contacts_segment_preview"), *super().get_urls()]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        own = ("name", "key", "kept_by", "where") if obj is None else ("name", "key", "where")
        fields = own if obj is None or obj.is_dynamic else ("name", "key")
        return [name for name in super().get_fields(request, obj) if name == "team"] + list(fields)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {"key": ["name"]} if obj is None and self.has_add_permission(request) else {}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Segment]:
        rows: QuerySet[Segment] = super().get_queryset(request)
        through = SegmentMembership.objects.filter(segment=OuterRef("pk"))
        return rows.annotate(people_count=count_of(through, "segment"))

    def save_model(self, request: HttpRequest, obj: Segment, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "where" in form.changed_data:
            keep_rule(obj)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        team = getattr(request, "team", None)
        data = {
            "operators": operators(),
            "subject": "contacts.contact",
            "subjects": {"contacts.contact": [*contact_fields(team), *_more_fields(team)]},
            "preview": reverse("admin:contacts_segment_preview"),
        }
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), "editor": data})

    def preview_page(self, request: HttpRequest) -> HttpResponse:
        """How many contacts of the team meet the rule in the form, and the newest of them, as JSON."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        team = getattr(request, "team", None)
        if team is None or request.method != "POST":
            return JsonResponse({"problem": "Choose a team first."})
        try:
            where = ConditionField().clean(request.POST.get("where", ""))
        except forms.ValidationError as error:
            return JsonResponse({"problem": " ".join(error.messages)})
        if where is None:
            return JsonResponse({"problem": "Add a condition to see who meets it."})
        wrong = problems(where)
        return JsonResponse({"problem": wrong[0]} if wrong else _told(team, where))

    @display(description="Kept by", label={"Rule": "info", "Hand and steps": "default"}, ordering="kind")
    def how(self, segment: Segment) -> str:
        return "Rule" if segment.is_dynamic else "Hand and steps"

    @display(description="Members", ordering="people_count")
    def people(self, segment: Any) -> str:
        url = reverse("admin:contacts_segmentmembership_changelist")
        link = f"{url}?segment__id__exact={segment.pk}"
        return format_html('<a class="ct-link" href="{}">{}</a>', link, f"{segment.people_count:,}")

    @display(description="Looked at")
    def looked(self, segment: Segment) -> str:
        if not segment.is_dynamic:
            return "—"
        return table_time(segment.looked_at, engine_now()) if segment.looked_at else "in a moment"


def _told(team: Team, where: Any) -> dict[str, Any]:
    found = TypedRules().preview(team, where, SHOWN)
    people = [
        {
            "name": str(contact), "email": contact.email, "stage": contact.get_lifecycle_stage_display(),
            "url": reverse("admin:contacts_contact_change", args=[contact.pk]),
        }
        for contact in found.first
    ]  # fmt: skip
    return {"count": found.total, "atLeast": found.at_least, "people": people, "warnings": list(found.warnings)}


def _more_fields(team: Team | None) -> Iterable[dict[str, Any]]:
    """What rules read beside columns: tags, and what happened to a contact; two statements."""
    tags = Tag.objects.filter(team=team).order_by("name").values_list("name", flat=True)[:MOST_NAMES] if team else ()
    yield {"path": "contact.tags", "label": "tags", "choices": [[name, name] for name in tags]}
    own = EventType.objects.filter(team=team).values_list("name", flat=True)[:MOST_NAMES] if team else ()
    for name in sorted({*own, *BUILT_IN, *OWN} - RECORD_EVENTS):
        at = f"contact.did.{name}" if name.isidentifier() else f'contact.did["{name}"]'
        words = name.replace("_", " ")
        yield {"path": f"{at}.times", "label": f"how often: {words}", "choices": []}
        yield {"path": f"{at}.latest", "label": f"when last: {words}", "choices": []}
