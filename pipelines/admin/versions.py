"""Published versions: never changed, to look at."""

import json

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from crm.scoping import TeamScopedReadOnlyAdmin
from pipelines import pictures
from pipelines.admin.links import link_to, table_time
from pipelines.definition.document import dumps
from pipelines.engine.clock import real_now
from pipelines.models import PipelineVersion


@admin.register(PipelineVersion)
class PipelineVersionAdmin(TeamScopedReadOnlyAdmin[PipelineVersion]):
    """What exactly ran, by whom and when it was published."""

    nothing = "Publishing or activating a pipeline makes its first version."
    list_display = ("named", "pipeline", "is_current", "runs_policy", "published_by", "published")
    list_display_links = ("named",)
    list_filter = ("pipeline",)
    list_select_related = ("pipeline", "published_by")
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": (("of_pipeline", "number"), ("published_by", "published_at"), "note", "drawing")}),
        ("Document", {"fields": ("checksum", "written"), "classes": ("collapse",)}),
    )
    readonly_fields = ("of_pipeline", "drawing", "written")

    class Media:
        css = {"all": ("pipelines/pipelines.css", "pipelines/picture.css")}

    def get_queryset(self, request: HttpRequest) -> QuerySet[PipelineVersion]:
        rows: QuerySet[PipelineVersion] = super().get_queryset(request)
        match = request.resolver_match
        in_list = match is not None and str(match.url_name).endswith("_changelist")
        return rows.defer("document", "program") if in_list else rows

    @display(description="Version", ordering="number")
    def named(self, row: PipelineVersion) -> str:
        return f"Version {row.number}"

    @display(description="Current", boolean=True)
    def is_current(self, row: PipelineVersion) -> bool:
        return row.pipeline.current_version_id == row.pk

    @display(description="Published", ordering="published_at")
    def published(self, row: PipelineVersion) -> str:
        return table_time(row.published_at, real_now())

    @display(description="Pipeline")
    def of_pipeline(self, row: PipelineVersion) -> str:
        return link_to(row.pipeline)

    @display(description="Picture")
    def drawing(self, row: PipelineVersion) -> SafeString:
        return pictures.on_page(row.document)

    @display(description="As JSON")
    def written(self, row: PipelineVersion) -> SafeString:
        return format_html('<pre class="pl-document">{}</pre>', json.dumps(json.loads(dumps(row.document)), indent=2))
