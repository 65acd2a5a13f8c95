"""The resources `events` and `event-types`: what happened, told by other systems, and what may be told."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from crm.scoping import SubjectField, TeamScopedReadOnlyViewSet, TeamScopedSerializer, TeamScopedViewSet
from pipelines.api.runs import SUBJECTS
from pipelines.api.shapes import AnyJson
from pipelines.engine.clock import engine_now
from pipelines.models import Event, EventType
from pipelines.triggers.told import MOST, NotTold, Wrong, tell, type_problems

EXAMPLE = {"type": "purchase_completed", "email": "ada@example.org", "key": "order-77", "payload": {"total": 42}}


class EventSerializer(TeamScopedSerializer):
    """One thing that happened."""

    subject = SubjectField()
    payload = AnyJson()

    class Meta:
        model = Event
        fields = ("id", "type", "subject", "payload", "key", "occurred_at", "dispatched")
        read_only_fields = fields


class EventIn(serializers.Serializer[Any]):
    """One event, or up to a thousand below `events`."""

    type = serializers.CharField(max_length=80, required=False)
    subject = serializers.DictField(required=False, help_text='Such as {"type": "contacts.contact", "id": 5}.')
    email = serializers.CharField(required=False, help_text="Address of a contact, in place of a subject.")
    payload = serializers.DictField(required=False)
    key = serializers.CharField(required=False, max_length=120, help_text="The same key again is the same event.")
    occurred_at = serializers.DateTimeField(required=False)
    events = serializers.ListField(child=serializers.DictField(), max_length=MOST, required=False)


TOLD = inline_serializer(
    "EventsTold",
    {
        "stored": serializers.IntegerField(help_text="How many are new."),
        "known": serializers.IntegerField(help_text="How many had been stored before, by their keys."),
    },
)


class EventViewSet(TeamScopedReadOnlyViewSet):
    """What happened, newest last; and the way to tell it."""

    resource = "events"
    queryset = Event.objects.all()
    serializer_class = EventSerializer
    filter_fields = {
        "type": "type", "key": "key", "after": "occurred_at__gte", "before": "occurred_at__lt",
        **SUBJECTS,
    }  # fmt: skip
    search_fields = ()
    ordering_fields = ("occurred_at",)
    verbs = {"create": "add"}

    @extend_schema(request=EventIn, responses={202: TOLD}, examples=[OpenApiExample("One event", EXAMPLE)])
    def create(self, request: Request) -> Response:
        """Store one event, or up to 1,000 as `{"events": [...]}`: all or none, and each key once."""
        items, at = _items(request.data)
        try:
            new = tell(team=self.team, items=items, now=engine_now(), at=at)
        except NotTold as refused:
            raise ValidationError(_detail(refused.wrong)) from None
        return Response({"stored": sum(new), "known": len(new) - sum(new)}, status=202)


def _items(body: Any) -> tuple[list[Any], str]:
    """The events of a request, and where they stand in it."""
    if isinstance(body, Mapping) and "events" not in body:
        return [body], ""
    if isinstance(body, Mapping) and set(body) > {"events"}:
        raise ValidationError({"events": ["stands alone: put everything else into the events"]})
    items = body["events"] if isinstance(body, Mapping) else body
    if not isinstance(items, list) or not items:
        raise ValidationError({"events": ["must be a list of events"]})
    if len(items) > MOST:
        raise ValidationError({"events": [f"holds {len(items):,} events; send at most {MOST:,} at once"]})
    return items, "events"


def _detail(wrong: list[Wrong]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in wrong[:100]:
        found.setdefault(each.path, []).append(each.message)
    return found


@extend_schema_field({"type": "object", "additionalProperties": {}})
class ObjectJson(AnyJson):
    """An object, or null."""


class EventTypeSerializer(TeamScopedSerializer):
    """A kind of event, what it carries and an example."""

    schema = ObjectJson(required=False, allow_null=True)
    sample = ObjectJson(required=False, allow_null=True)

    class Meta:
        model = EventType
        fields = ("id", "name", "description", "schema", "sample", "created_at")
        read_only_fields = ("id", "created_at")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        schema = attrs.get("schema", self.instance.schema if self.instance else None)
        sample = attrs.get("sample", self.instance.sample if self.instance else None)
        name = attrs.get("name", self.instance.name if self.instance else "")
        wrong = list(type_problems(name, schema, sample))
        if wrong:
            raise ValidationError(_detail(wrong))
        return attrs


class EventTypeViewSet(TeamScopedViewSet):
    """Kinds of events that a team expects."""

    resource = "event-types"
    queryset = EventType.objects.all()
    serializer_class = EventTypeSerializer
    filter_fields = {"name": "name"}
    search_fields = ("name", "description")
    ordering_fields = ("name", "created_at")
