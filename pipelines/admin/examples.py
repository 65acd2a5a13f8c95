"""Pipelines to begin with: each a document that runs as it is, made a draft of the team."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from pipelines import operations, pictures
from pipelines.admin.buttons import page_of
from pipelines.admin.pipeline_form import free_key
from pipelines.models import Pipeline
from pipelines.operations import Refused

DOCUMENTS: Final = Path(__file__).parent.parent / "demo" / "documents"


@cache
def examples() -> dict[str, dict[str, Any]]:
    """The documents by their key."""
    read = (json.loads(path.read_text("utf-8")) for path in sorted(DOCUMENTS.glob("*.json")))
    return {document["key"]: document for document in read}


def examples_view(request: HttpRequest, *, model_admin: Any) -> HttpResponse:
    """GET shows them with their pictures; POST makes the chosen one a draft."""
    if not model_admin.has_add_permission(request):
        raise PermissionDenied
    team = getattr(request, "team", None)
    if team is None:
        messages.warning(request, "Choose the team first that is to get the pipeline.")
        return HttpResponseRedirect(reverse("switch-team"))
    chosen = examples().get(request.POST.get("example", ""))
    if chosen is not None:
        document = {**chosen, "key": free_key(name=chosen["name"], pipeline=Pipeline(team=team))}
        try:
            pipeline = operations.import_document(team=team, document=document, by=request.user, replace=False)
        except Refused as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"This is “{pipeline.name}”, a draft: change it as you like, then activate it.")
            return HttpResponseRedirect(page_of(pipeline))
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": "Start with an example",
        "examples": [(each, pictures.on_page(each)) for each in examples().values()],
    }
    return TemplateResponse(request, "admin/pipelines/examples.html", context)
