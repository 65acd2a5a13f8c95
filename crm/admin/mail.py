"""Message templates and addresses that get no mail."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from unfold.decorators import action

from crm.admin import suppression_files
from crm.admin.topic_field import offer_topics
from crm.channels.letters import NAMES
from crm.consent import USUAL
from crm.models import MessageTemplate, Suppression
from crm.scoping import TeamScopedAdmin
from crm.template_checks import template_warnings
from crm.topics import topic_choices, topics_of


class TemplateForm(forms.ModelForm[MessageTemplate]):
    """A template whose topic is chosen among those of its team."""

    class Meta:
        labels = {"html": "HTML"}
        help_texts = {
            "key": "What steps name it by, such as welcome_email.",
            "subject": "Subject and bodies may use {{ contact.first_name }} and the like.",
            "text": "For readers without HTML; one of the two bodies is enough.",
        }

    current_team: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        team = self.instance.team if self.instance.team_id else self.current_team
        if team is not None:
            offer_topics(self, topic_choices(team), empty="None: cannot be unsubscribed")


class SuppressionForm(forms.ModelForm[Suppression]):
    """A suppression of everything, of one topic, or of one channel."""

    class Meta:
        help_texts = {
            "address": "An email address in lower case, a number such as +4915112345678, or the token of a device.",
            "source": "Where it comes from, such as a call or an older system.",
        }

    current_team: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.current_team is not None:
            channels = {name: f"All {words}" for name, words in NAMES.items() if name != "chat"}
            topics = {USUAL: USUAL.capitalize(), **topics_of(self.current_team)}
            offer_topics(self, topics | channels, empty="Everything")


@admin.register(MessageTemplate)
class MessageTemplateAdmin(TeamScopedAdmin[MessageTemplate]):
    """Messages that steps refer to by key."""

    form = TemplateForm
    nothing = "Letters with places to fill in, such as the first name; steps of pipelines send them."
    list_display = ["name", "key", "subject", "topic", "updated_at"]
    list_filter = ["updated_at"]
    search_fields = ["name", "key", "subject"]
    ordering = ["key"]
    fields = ["name", "key", "subject", "text", "html", "use_layout", "topic"]
    change_form_template = "admin/crm/message_template.html"
    prepopulated_fields = {"key": ["name"]}

    def save_model(self, request: HttpRequest, obj: MessageTemplate, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        for said in template_warnings(obj):
            messages.warning(request, said)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        may_write = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return super().get_prepopulated_fields(request, obj) if may_write and obj is None else {}


@admin.register(Suppression)
class SuppressionAdmin(TeamScopedAdmin[Suppression]):
    """Addresses nothing is sent to; entries are added and deleted, never edited."""

    form = SuppressionForm
    nothing = (
        "Nothing is sent to the addresses listed here: who unsubscribed or complained, whose mail came back, "
        "and whom you add or import."
    )
    list_display = ["address", "topic", "reason", "source", "created_at"]
    list_filter = ["reason", "created_at"]
    search_fields = ["address"]
    ordering = ["-id"]
    fields = ["address", "topic", "reason", "source"]
    actions_list = ["import_page", "export_all"]

    @action(description="Import", icon="upload", permissions=["add"], url_path="import")
    def import_page(self, request: HttpRequest) -> HttpResponse:
        return suppression_files.import_view(request, model_admin=self)

    @action(description="Export as CSV", icon="download", permissions=["view"], url_path="export")
    def export_all(self, request: HttpRequest) -> StreamingHttpResponse:
        return suppression_files.export_view(request, model_admin=self)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Suppression, form: Any, change: bool) -> None:
        obj.address = obj.address.strip().lower()
        super().save_model(request, obj, form, change)
