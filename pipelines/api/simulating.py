"""Trying out over the API: simulations, expectations, and which triggers would let a record in."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from crm.models import Team
from crm.scoping import TeamScopedView
from pipelines.api.bodies import document_in
from pipelines.api.errors import InvalidPipeline, told
from pipelines.definition.document import Problem
from pipelines.documents import document_of
from pipelines.engine.clock import engine_now
from pipelines.engine.plain import plain
from pipelines.models import Pipeline
from pipelines.operations.code_steps import Written, check_code, code_in
from pipelines.simulation.audience import audience_of, simulate_audience
from pipelines.simulation.expect import outcome_of, play_expectations
from pipelines.simulation.scenario import ScenarioError, scenario_of
from pipelines.simulation.simulate import simulate
from pipelines.simulation.triggers import trigger_verdicts

ABOUT: dict[str, Any] = {
    "subject": serializers.JSONField(required=False, help_text="Id of a record, or sample values."),
    "records": serializers.DictField(required=False, help_text='`{"records.product": [{"name": "Lamp"}]}`'),
    "entry": serializers.CharField(required=False, help_text="Key of the trigger; `by_hand` for none."),
    "trigger": serializers.DictField(required=False, help_text="What the trigger brings: `trigger.…` in steps."),
    "variables": serializers.DictField(required=False),
    "start": serializers.CharField(required=False, help_text="When it begins; now when left out."),
    "until": serializers.CharField(required=False, help_text="A time, or a span such as 90d; a year when left out."),
    "events": serializers.ListField(required=False, help_text='`[{"after": "2d", "type": "…", "payload": {}}]`'),
    "responses": serializers.DictField(required=False, help_text='`{"step": [{"after": "1h", "values": {}}]}`'),
    "stubs": serializers.DictField(required=False, help_text='`{"step": [{"error": "timeout"}, {"status": 200}]}`'),
    "audience": serializers.JSONField(required=False, help_text='`{"where": …, "limit": 200}` or `{"ids": []}`'),
    "expect": serializers.BooleanField(required=False, help_text="Play the expectations of the document instead."),
    "version": serializers.IntegerField(required=False, help_text="A published version instead of what is edited."),
    "document": serializers.DictField(required=False, help_text="A document instead of what is stored."),
}  # fmt: skip
SIMULATE_IN = inline_serializer("Simulate", ABOUT)
SAYS_WHAT = frozenset({"audience", "expect", "version", "document"})


class Simulating:
    """The part of the resource `pipelines` that tries out; nothing is sent and nothing is written."""

    team: Team

    @extend_schema(request=SIMULATE_IN, responses=OpenApiTypes.OBJECT)
    @action(detail=True, methods=["post"])
    def simulate(self, request: Request, pk: str) -> Response:
        """What would happen: a report for one subject, funnel and calendar for an audience, or the expectations."""
        body = _body(request)
        pipeline: Pipeline = self.get_object()  # type: ignore[attr-defined]
        document = _document(pipeline, body)
        if "document" in body:
            self._check_code(document, before=code_in(document_of(pipeline)))
        return Response(answer(self.team, document, body))

    @extend_schema(request=SIMULATE_IN, responses=OpenApiTypes.OBJECT, operation_id="pipelines_simulate_document")
    @action(detail=False, methods=["post"], url_path="simulate")
    def simulate_document(self, request: Request) -> Response:
        """The same for a document that is stored nowhere."""
        body = _body(request)
        if not isinstance(body.get("document"), Mapping):
            raise ValidationError({"document": ["Send a definition document: a JSON object."]})
        document = document_in(body["document"])
        self._check_code(document, before=frozenset())
        return Response(answer(self.team, document, body))

    def _check_code(self, document: Mapping[str, Any], *, before: Written) -> None:
        """A simulation runs the code of its steps, so whoever sends new code must be one who may write it."""
        with told():
            check_code(team=self.team, by=self._by(), before=before, after=code_in(document))  # type: ignore[attr-defined]


def answer(team: Team, document: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """The report that a request asks for."""
    with playable():
        if body.get("expect"):
            played = play_expectations(team=team, document=document)
            return {"met": all(each.met for each in played), "stories": [outcome_of(each) for each in played]}
        story = {name: value for name, value in body.items() if name not in SAYS_WHAT}
        scenario = scenario_of(story, now=engine_now())
        if "audience" not in body:
            return _json(simulate(team=team, document=document, scenario=scenario))
        audience = audience_of(body["audience"])
        return _json(simulate_audience(team=team, document=document, audience=audience, scenario=scenario))


def _json(report: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = plain(report)
    return found


@contextmanager
def playable() -> Iterator[None]:
    """Stories that cannot be played and documents with errors are answered with their paths."""
    try:
        with told():
            yield
    except ScenarioError as error:
        raise InvalidPipeline([Problem(error.path, error.message)], what="The simulation") from None


def _body(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, Mapping):
        raise ValidationError({"": ["Send a JSON object."]})
    return dict(request.data)


def _document(pipeline: Pipeline, body: Mapping[str, Any]) -> dict[str, Any]:
    if "document" in body:
        if not isinstance(body["document"], Mapping):
            raise ValidationError({"document": ["Send a definition document: a JSON object."]})
        return document_in(body["document"])
    if "version" not in body:
        return document_of(pipeline)
    number = body["version"]
    version = pipeline.versions.filter(number=number).first() if type(number) is int and 0 < number < 2**31 else None
    if version is None:
        raise ValidationError({"version": ["There is no such version."]})
    document: dict[str, Any] = version.document
    return document


class TriggersTestView(TeamScopedView):
    """Which triggers would let this record in now, and clause by clause why not."""

    resource = "pipelines"
    verbs = {"post": "simulate"}

    @extend_schema(
        request=inline_serializer(
            "TriggersTest",
            {
                "model": serializers.CharField(required=False, default="contacts.contact"),
                "subject": serializers.JSONField(help_text="A record by its id or as `{type, id}`, or sample values."),
                "event": serializers.CharField(required=False, help_text="Type of an event; creation when left out."),
                "payload": serializers.DictField(required=False),
            },
        ),
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request) -> Response:
        body = _body(request)
        unknown = sorted(set(body) - {"model", "subject", "event", "payload"})
        if unknown:
            raise ValidationError({unknown[0]: ["is not known; there are model, subject, event, payload"]})
        payload = body.get("payload") or {}
        if not isinstance(payload, Mapping):
            raise ValidationError({"payload": ["must be an object"]})
        model, subject = str(body.get("model") or "contacts.contact"), body.get("subject")
        if isinstance(subject, Mapping) and set(subject) == {"type", "id"}:
            model, subject = str(subject["type"]), subject["id"]
        with playable():
            results = trigger_verdicts(
                team=self.team, model=model, subject=subject,
                event=str(body.get("event") or ""), payload=payload,
            )  # fmt: skip
        return Response({"results": plain(results)})
