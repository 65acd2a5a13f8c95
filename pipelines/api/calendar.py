"""Everything a contact will receive, with the rule that holds or skips each item."""

from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from contacts.models import Contact
from crm.api.filters import refuse_unknown
from crm.scoping import TeamScopedView
from pipelines.simulation.calendar import DAYS, MOST_DAYS, calendar_of
from pipelines.simulation.expected import RULES, VERDICTS


def _text() -> serializers.CharField:
    return serializers.CharField(allow_blank=True)


RUN: dict[str, serializers.Field[Any, Any, Any, Any]] = {
    "run": serializers.IntegerField(),
    "pipeline": serializers.CharField(),
    "pipeline_name": serializers.CharField(),
    "status": serializers.CharField(),
    "pipeline_status": serializers.CharField(),
    "step": _text(),
    "step_name": _text(),
    "next_step_at": serializers.DateTimeField(allow_null=True),
    "ends": serializers.CharField(allow_blank=True, help_text="Empty when it does not end in this time."),
    "reason": _text(),
    "ends_at": serializers.DateTimeField(allow_null=True),
}
ITEM: dict[str, serializers.Field[Any, Any, Any, Any]] = {
    "at": serializers.DateTimeField(help_text="When it leaves, would have left, or begins to wait."),
    "kind": serializers.ChoiceField(["message", "wait", "exit"]),
    "verdict": serializers.ChoiceField(VERDICTS),
    "rule": serializers.ChoiceField(RULES, allow_blank=True),
    "sentence": serializers.CharField(allow_blank=True, help_text="The rule in words."),
    "due_at": serializers.DateTimeField(allow_null=True, help_text="When its step makes it."),
    "until": serializers.DateTimeField(allow_null=True, help_text="The end of what holds it or of a wait."),
    "pipeline": serializers.CharField(),
    "pipeline_name": serializers.CharField(),
    "step": _text(),
    "step_name": _text(),
    "visit": serializers.IntegerField(),
    "run": serializers.IntegerField(allow_null=True, help_text="Null for a run that begins only on the way."),
    "channel": _text(),
    "subject": serializers.CharField(allow_blank=True, help_text="As the contact will read it."),
    "why": serializers.ListField(child=serializers.JSONField(), help_text="Clauses that were not met."),
    "depends_on": serializers.ListField(child=serializers.CharField(), help_text="What was taken for granted."),
}


class CalendarView(TeamScopedView):
    """The live runs of a contact played on: what comes when, and the rule that holds or skips it. Nothing is sent."""

    resource = "pipeline-runs"
    verbs = {"get": "view"}

    @extend_schema(
        parameters=[
            OpenApiParameter("days", OpenApiTypes.INT, description=f"1 to {MOST_DAYS}; {DAYS} if nothing is said.")
        ],
        responses=inline_serializer(
            "ContactCalendar",
            {
                "contact": serializers.IntegerField(),
                "from": serializers.DateTimeField(),
                "until": serializers.DateTimeField(),
                "runs": inline_serializer("CalendarRun", RUN, many=True),
                "items": inline_serializer("CalendarItem", ITEM, many=True),
                "complete": serializers.BooleanField(help_text="Whether everything is over by then."),
                "warnings": serializers.ListField(child=serializers.CharField()),
            },
        ),
    )
    def get(self, request: Request, pk: int) -> Response:
        refuse_unknown(request=request, known={"days"})
        contact = Contact.objects.for_team(self.team).filter(pk=pk).first()
        if contact is None:
            raise Http404
        days = _days(request.query_params.get("days", str(DAYS)))
        return Response(calendar_of(team=self.team, contact=contact, days=days))


def _days(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_DAYS:
        return int(text)
    raise ValidationError({"days": [f"Give a number of days from 1 to {MOST_DAYS}."]})
