"""The page that tells why a record got, or did not get, a message, pipeline by pipeline."""

from collections.abc import Mapping
from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from crm.models import MessageTemplate
from pipelines.admin.links import address_of
from pipelines.admin.telling import clause, words
from pipelines.models import Pipeline, PipelineRun
from pipelines.simulation.explain import explain
from pipelines.simulation.facts import left_off
from pipelines.subjects import subject_of_record, subject_types

TAGS: Final[Mapping[str, str]] = {
    "sent": "sent",
    "on_its_way": "pending",
    "uncertain": "uncertain",
    "failed": "failed",
    "skipped": "skipped",
    "led_elsewhere": "skipped",
    "ended": "cancelled",
    "not_enrolled": "skipped",
}
# Where the name of a verdict would mislead whoever reads it as a word.
SAID: Final[Mapping[str, str]] = {"no_event": "never entered", "not_enrolled": "kept out"}


@require_safe
def explain_page(request: HttpRequest, label: str, pk: int) -> HttpResponse:
    """One record; `pipeline` and `template` narrow the question."""
    kind = subject_types().get(label)
    if kind is None:
        raise Http404
    site: Any = admin.site
    runs_admin = site.get_model_admin(PipelineRun)
    if not runs_admin.has_view_permission(request):
        raise PermissionDenied
    team = getattr(request, "team", None)
    rows: Any = kind.model._default_manager.all()
    record = rows.for_team(team).select_related("team").filter(pk=pk).first()
    if record is None:
        raise Http404
    about = subject_of_record(record) or kind
    pipelines = Pipeline.objects.for_team(record.team).filter(
        subject_type_id=about.content_type_id, subject_record=about.record_type
    )
    pipelines = pipelines.order_by("name")
    templates = MessageTemplate.objects.for_team(record.team).order_by("name")
    chosen = pipelines.filter(key=request.GET.get("pipeline", "")[:40]).first()
    template = request.GET.get("template", "")[:60]
    answers = explain(team=record.team, subject=record, pipeline=chosen, template=template)
    context = {
        **site.each_context(request),
        "title": "Why, or why not?",
        "opts": record._meta,
        "object": record,
        "record": record,
        "record_address": address_of(record),
        "pipelines": [(row.key, row.name) for row in pipelines],
        "templates": [(row.key, row.name) for row in templates],
        "pipeline": chosen.key if chosen else "",
        "template": template,
        "left_off": 0 if chosen or template else left_off(team=record.team, subject=record),
        "answers": [_shown(answer) for answer in answers],
    }
    return render(request, "admin/pipelines/explain.html", context)


def _shown(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer with its clauses in words and its links."""
    return {
        **answer,
        "tag": TAGS.get(answer["verdict"], "skipped"),
        "tag_words": SAID.get(answer["verdict"]) or words(answer["verdict"]),
        "run_address": reverse("admin:pipelines_pipelinerun_change", args=[answer["run"]]) if answer["run"] else "",
        "clauses": [clause(leaf) for leaf in answer["why"]],
        "path": [{**each, "clauses": [clause(leaf) for leaf in each["why"]]} for each in answer["path"]],
        "now": [{**each, "clauses": [clause(leaf) for leaf in each["why"]]} for each in answer["now"]],
    }
