"""Goals and splits of a pipeline through HTTP: the report, and the end of a test."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm.api.known_keys import KnownKeys
from pipelines import operations
from pipelines.api import bodies, shapes
from pipelines.api.errors import told
from pipelines.conversion import conversion
from pipelines.models import Pipeline


class ConversionOut(serializers.Serializer[Any]):
    """Shares with the interval of Wilson's score at 95 percent; a `winner` only where the lead is no chance.

    `chosen` is the variant that everybody takes since a version, when somebody ended the test.
    """

    goals = serializers.ListField(child=serializers.DictField())
    splits = serializers.ListField(child=serializers.DictField())


class WinnerIn(KnownKeys):
    """A split by the key of its step, and the variant that everybody gets from now on."""

    step = serializers.CharField(max_length=40)
    variant = serializers.CharField(max_length=40)


class SplitIn(serializers.Serializer[Any]):
    """A split by the key of its step."""

    step = serializers.CharField(max_length=40)


class ConversionActions:
    """Mixed into the resource of pipelines."""

    get_object: Callable[[], Pipeline]
    _by: Callable[[], Any]
    _shown: Callable[..., Response]

    @extend_schema(responses=OpenApiResponse(response=ConversionOut))
    @action(detail=True, methods=["get"])
    def conversion(self, request: Request, pk: str) -> Response:
        """Goals reached, what they are worth, and how the variants of splits compare."""
        return Response(conversion(pipeline=self.get_object()).as_dict())

    @extend_schema(request=WinnerIn, responses=shapes.PipelineDetailSerializer)
    @action(detail=True, methods=["post"], url_path="choose-winner")
    def choose_winner(self, request: Request, pk: str) -> Response:
        """Give everybody who comes to a split one of its variants, and publish that."""
        body = bodies.read(WinnerIn, request)
        pipeline = self.get_object()
        with told():
            operations.choose_winner(pipeline=pipeline, step=body["step"], variant=body["variant"], by=self._by())
        return self._shown(pipeline)

    @extend_schema(request=SplitIn, responses=shapes.PipelineDetailSerializer)
    @action(detail=True, methods=["post"], url_path="reopen-test")
    def reopen_test(self, request: Request, pk: str) -> Response:
        """Take the choice of a winner back: the split draws as before, and that is published."""
        body = bodies.read(SplitIn, request)
        pipeline = self.get_object()
        with told():
            operations.reopen_test(pipeline=pipeline, step=body["step"], by=self._by())
        return self._shown(pipeline)
