"""Circuits of a pipeline's steps through HTTP: which are open, and what is to be done about one."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm.api.filters import refuse_unknown
from crm.api.known_keys import KnownKeys
from pipelines import operations
from pipelines.api import bodies
from pipelines.api.errors import told
from pipelines.circuits import circuits_of
from pipelines.engine.clock import engine_now
from pipelines.models import Pipeline


class CircuitOut(serializers.Serializer[Any]):
    """A step that fails for too many (`open`, `trial`), or that people let fail (`off`)."""

    step = serializers.CharField()
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=["open", "trial", "off"])
    opened_at = serializers.DateTimeField()
    next_at = serializers.DateTimeField(help_text="When a few are let through, or the step is watched again.")
    failed = serializers.IntegerField()
    reached = serializers.IntegerField()
    error = serializers.CharField(help_text="The class of the last error, such as http_5xx.", allow_blank=True)
    waiting = serializers.IntegerField()


class CircuitIn(KnownKeys):
    """A step by its key: `try_again` lets a few through at once, `let_fail` everybody for a day."""

    step = serializers.CharField(max_length=40)
    action = serializers.ChoiceField(choices=["try_again", "let_fail"])


class CircuitActions:
    """Mixed into the resource of pipelines."""

    get_object: Callable[[], Pipeline]
    _by: Callable[[], Any]

    @extend_schema(responses=CircuitOut(many=True))
    @action(detail=True, methods=["get"])
    def circuits(self, request: Request, pk: str) -> Response:
        """Steps before which runs wait because they fail for too many, and those that are let fail."""
        refuse_unknown(request=request, known=set())
        return self._told(self.get_object())

    @extend_schema(request=CircuitIn, responses=CircuitOut(many=True))
    @action(detail=True, methods=["post"], url_path="settle-circuit")
    def settle_circuit(self, request: Request, pk: str) -> Response:
        """Try a step again, or let its runs fail; answers with the circuits as they are then."""
        body = bodies.read(CircuitIn, request)
        pipeline = self.get_object()
        do = operations.try_step_again if body["action"] == "try_again" else operations.let_step_fail
        with told():
            do(pipeline=pipeline, step=body["step"], by=self._by())
        return self._told(pipeline)

    def _told(self, pipeline: Pipeline) -> Response:
        return Response([asdict(each) for each in circuits_of(pipeline=pipeline, now=engine_now())])
