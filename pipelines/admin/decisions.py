"""Why records did, or did not, enter pipelines."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.core.paginator import Page
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from crm.scoping import TeamScopedReadOnlyAdmin
from pipelines.admin.links import link_to, table_time
from pipelines.admin.telling import clause
from pipelines.engine.clock import engine_now
from pipelines.models import EnrollmentDecision
from pipelines.personal import personal_names_of, reasons_without_personal
from pipelines.subjects import subject_types

COLORS = {
    "enrolled": "success",
    "conditions not met": "default",
    "already in the pipeline": "info",
    "limit reached": "warning",
    "suppressed": "warning",
    "error": "danger",
}


@admin.register(EnrollmentDecision)
class EnrollmentDecisionAdmin(TeamScopedReadOnlyAdmin[EnrollmentDecision]):
    """Written by the engine; who entered is told by the run."""

    nothing = "Nobody was kept out of a pipeline yet."
    list_display = ("who", "pipeline", "decided", "because", "when")
    list_display_links = None
    list_filter = ("decision", "pipeline")
    list_select_related = ("pipeline", "subject_type")
    ordering = ("-id",)
    list_before_template = "admin/pipelines/about_decisions.html"
    fields = ("who", "pipeline", "decided", "because", "trigger_revision", "at")
    readonly_fields = ("who", "decided", "because")

    class Media:
        css = {"all": ("pipelines/pipelines.css",)}

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Read the records of the page at once."""
        changes = super().get_changelist_instance(request)
        now = engine_now()
        attach_subjects(changes.result_list)
        hide_personal(changes.result_list)
        for row in changes.result_list:
            row.seen_at = now
        return changes

    @display(description="About")
    def who(self, row: EnrollmentDecision) -> str:
        if not hasattr(row, "found_subject"):
            attach_subjects([row])
        return who_of(row)

    @display(description="Decision", ordering="decision", label=COLORS)
    def decided(self, row: EnrollmentDecision) -> str:
        return row.get_decision_display()

    @display(description="Because")
    def because(self, row: EnrollmentDecision) -> SafeString | str:
        if not hasattr(row, "told"):
            hide_personal([row])
        leaves = [clause(leaf) for leaf in getattr(row, "told", ()) if isinstance(leaf, dict)]
        if not leaves:
            return "—"
        return format_html(
            '<ul class="pl-reasons">{}</ul>', format_html_join("", "<li>{}</li>", ((each,) for each in leaves))
        )

    @display(description="When", ordering="at")
    def when(self, row: EnrollmentDecision) -> str:
        return table_time(row.at, getattr(row, "seen_at", None) or engine_now())


def who_of(row: EnrollmentDecision) -> str:
    """Whom a decision is about, linked to its page, once `attach_subjects` has read them."""
    if row.subject_id is None:
        return "—"
    found: Model | None = getattr(row, "found_subject", None)
    kind = row.subject_type.name if row.subject_type else "record"
    return link_to(found) if found is not None else f"Deleted {kind} {row.subject_id}"


def hide_personal(rows: Iterable[EnrollmentDecision] | QuerySet[EnrollmentDecision] | Page[Any]) -> None:
    """Give each decision its reasons as they may be told; two statements."""
    rows = list(rows)
    names = personal_names_of({row.pipeline.team_id for row in rows})
    for row in rows:
        row.told = reasons_without_personal(row.why or [], names=names)  # type: ignore[attr-defined]


def attach_subjects(rows: Iterable[EnrollmentDecision] | QuerySet[EnrollmentDecision] | Page[Any]) -> None:
    """Give each decision its record: one statement for each kind of record."""
    rows = list(rows)
    wanted: dict[int, set[int]] = {}
    for row in rows:
        if row.subject_type_id is not None and row.subject_id is not None:
            wanted.setdefault(row.subject_type_id, set()).add(row.subject_id)
    known = {kind.content_type_id: kind.model for kind in subject_types().values()}
    found: dict[tuple[int, int], Model] = {}
    for type_id, ids in wanted.items():
        model = known.get(type_id) or ContentType.objects.get_for_id(type_id).model_class()
        if model is not None:
            found |= {(type_id, pk): row for pk, row in model._default_manager.in_bulk(ids).items()}
    for row in rows:
        row.found_subject = found.get((row.subject_type_id or 0, row.subject_id or 0))  # type: ignore[attr-defined]
