"""A message template as one contact would get it."""

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from contacts.models import Contact
from crm.api.filters import refuse_unknown
from crm.models import MessageTemplate
from crm.scoping import TeamScopedView
from pipelines.engine.clock import engine_now
from pipelines.operations.letters import preview_template


class TemplatePreviewView(TeamScopedView):
    """Subject, text and HTML as they would leave, with warnings; nothing is sent."""

    resource = "templates"
    verbs = {"get": "view"}

    @extend_schema(parameters=[OpenApiParameter("contact", int)], responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: int) -> Response:
        refuse_unknown(request=request, known={"contact"})
        template = MessageTemplate.objects.for_team(self.team).select_related("team").filter(pk=pk).first()
        if template is None:
            raise Http404
        contact = self._contact(request.query_params.get("contact", ""))
        shown = preview_template(
            template=template, contact=contact, now=engine_now(), to=contact.email if contact else ""
        )
        return Response(
            {
                "contact": contact.pk if contact else None,
                "subject": shown.subject,
                "text": shown.text,
                "html": shown.html,
                "warnings": list(shown.warnings),
            }
        )

    def _contact(self, number: str) -> Contact | None:
        if not number:
            return None
        if not (number.isascii() and number.isdigit() and len(number) < 18):
            raise Http404
        contact = Contact.objects.for_team(self.team).filter(pk=number).first()
        if contact is None:
            raise Http404
        return contact
