"""Why a contact got, or did not get, a message."""

from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from contacts.models import Contact
from crm.api.filters import refuse_unknown
from crm.models import MessageTemplate
from crm.scoping import TeamScopedView
from pipelines.api.lookup import pipeline_of_team
from pipelines.engine.plain import plain
from pipelines.simulation.explain import explain
from pipelines.simulation.facts import left_off


class ExplainView(TeamScopedView):
    """By pipeline, or for the steps of one template: what happened and why, and what would happen now."""

    resource = "pipeline-runs"
    verbs = {"get": "view"}

    @extend_schema(
        parameters=[OpenApiParameter("pipeline", str), OpenApiParameter("template", str)],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, pk: int) -> Response:
        refuse_unknown(request=request, known={"pipeline", "template"})
        contact = Contact.objects.for_team(self.team).filter(pk=pk).first()
        if contact is None:
            raise Http404
        name = request.query_params.get("pipeline", "")
        pipeline = pipeline_of_team(team=self.team, name=name) if name else None
        template = request.query_params.get("template", "")[:60]
        results: Any = explain(team=self.team, subject=contact, pipeline=pipeline, template=template)
        if template and not results and not MessageTemplate.objects.for_team(self.team).filter(key=template).exists():
            raise ValidationError({"template": [f"There is no message template '{template}', and no step sends one."]})
        more = 0 if pipeline or template else left_off(team=self.team, subject=contact)
        return Response({"contact": contact.pk, "results": plain(results), "left_off": more})
