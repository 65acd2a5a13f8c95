"""What the API says of the versions of a pipeline: history, differences, previews, the way back, and pictures."""

from dataclasses import asdict
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from pipelines import operations, pictures
from pipelines.api import bodies, shapes
from pipelines.api.errors import told
from pipelines.api.version_shapes import (
    DRAFT,
    BackfillIn,
    BackfillOut,
    DifferenceOut,
    DifferenceQuery,
    PictureQuery,
    PreviewOut,
    PreviewQuery,
    RollBackIn,
    VersionsOut,
)
from pipelines.definition.picture.svg import Look
from pipelines.documents import document_of
from pipelines.engine.clock import engine_now
from pipelines.models import Pipeline, PipelineStep, PipelineVersion
from pipelines.operations import Preview
from pipelines.operations.previewing import Line
from pipelines.queries import runs_by_step, version_rows

ANSWER = PolymorphicProxySerializer(
    component_name="PublishedOrPreview",
    serializers=[shapes.PipelineDetailSerializer, PreviewOut],
    resource_type_field_name=None,
)


class VersionActions:
    """Mixed into the resource of pipelines."""

    get_object: Any
    _by: Any
    _shown: Any

    @extend_schema(
        request=bodies.PublishIn,
        responses={200: ANSWER},
        parameters=[OpenApiParameter("preview", bool, description="Tell what would happen, and do nothing.")],
    )
    @action(detail=True, methods=["post"])
    def publish(self, request: Request, pk: str) -> Response:
        """Make what was edited the version that runs follow; with `preview=1` the answer says what would happen."""
        body = bodies.read(bodies.PublishIn, request)
        pipeline = self.get_object()
        if _asks_preview(request):
            return _previewed(pipeline, document_of(pipeline), policy=body["policy"])
        with told():
            operations.publish(
                pipeline=pipeline, by=self._by(), note=body["note"], policy=body["policy"], force=body["force"]
            )
        return self._shown(pipeline)  # type: ignore[no-any-return]

    @extend_schema(responses=VersionsOut, operation_id="pipelines_versions_list")
    @action(detail=True, methods=["get"])
    def versions(self, request: Request, pk: str) -> Response:
        """What was published, newest first, with the runs on each."""
        rows = version_rows(pipeline=self.get_object())
        return Response(VersionsOut({"next": None, "previous": None, "results": rows}).data)

    @extend_schema(responses=shapes.VersionSerializer)
    @action(detail=True, methods=["get"], url_path=r"versions/(?P<number>[0-9]{1,9})")
    def version(self, request: Request, pk: str, number: str) -> Response:
        """One version with its document."""
        row = _version(self.get_object(), number)
        return Response(shapes.VersionSerializer(row, context={"request": request}).data)

    @extend_schema(
        responses=DifferenceOut,
        parameters=[
            OpenApiParameter("from", str, description="A version; the current one when left out."),
            OpenApiParameter(
                "to", str, description="A version, or `draft`, which is also what is taken when left out."
            ),
        ],
    )
    @action(detail=True, methods=["get"])
    def diff(self, request: Request, pk: str) -> Response:
        """What differs between two versions, as data and in words."""
        asked = bodies.asked(DifferenceQuery, request)
        pipeline = self.get_object()
        current = pipeline.current_version
        old = _document(pipeline, asked["from"] or (str(current.number) if current else DRAFT))
        return Response({"changes": _changes(old, _document(pipeline, asked["to"]))})

    @extend_schema(
        request=RollBackIn,
        responses={200: ANSWER},
        parameters=[OpenApiParameter("preview", bool, description="Tell what would happen, and do nothing.")],
    )
    @action(detail=True, methods=["post"], url_path="roll-back")
    def roll_back(self, request: Request, pk: str) -> Response:
        """Publish an old version's definition again, as a new version."""
        body = bodies.read(RollBackIn, request)
        pipeline = self.get_object()
        version = _version(pipeline, str(body["version"]))
        if _asks_preview(request):
            return _previewed(pipeline, version.document, policy=body["policy"])
        with told():
            operations.roll_back(
                pipeline=pipeline, version=version, by=self._by(), note=body["note"], policy=body["policy"]
            )
        return self._shown(pipeline)  # type: ignore[no-any-return]

    @extend_schema(
        request=BackfillIn,
        responses=BackfillOut,
        parameters=[OpenApiParameter("preview", bool, description="Tell who would get it, and do nothing.")],
    )
    @action(detail=True, methods=["post"])
    def backfill(self, request: Request, pk: str) -> Response:
        """Give a step to those who have passed its place: each gets only this step, at most once."""
        body = bodies.read(BackfillIn, request)
        pipeline = self.get_object()
        asks = _asks_preview(request)
        with told():
            found = operations.preview_backfill(pipeline=pipeline, step=body["step"])
            done = None
            if not asks:
                done = operations.backfill(pipeline=pipeline, by=self._by(), **body)
        counts = {"done": done.done if done else 0, "left": done.left if done else False}
        return Response({**asdict(found), **counts})

    @extend_schema(
        responses={(200, "image/svg+xml"): OpenApiTypes.STR},
        parameters=[
            OpenApiParameter("theme", str, enum=["auto", "light", "dark"]),
            OpenApiParameter("version", str, description="A version, or `draft`."),
            OpenApiParameter("counts", bool, description="With the runs that stand at each step now."),
            OpenApiParameter("small", bool, description="Shapes alone, for a list."),
        ],
    )
    def picture(self, request: Request, pk: str) -> HttpResponse:
        """The pipeline as a picture in SVG, with its words for those who do not see it."""
        asked = bodies.asked(PictureQuery, request)
        pipeline = self.get_object()
        document = _document(pipeline, asked["version"])
        look = Look(counts=_standing(pipeline)) if asked["counts"] else None
        text = pictures.as_file(document, theme=asked["theme"], look=look, small=asked["small"])
        answer = HttpResponse(text, content_type="image/svg+xml; charset=utf-8")
        # It stands alone and runs nothing, wherever it is opened.
        answer["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
        return answer


def _asks_preview(request: Request) -> bool:
    return bool(bodies.asked(PreviewQuery, request)["preview"])


def _version(pipeline: Pipeline, number: str) -> PipelineVersion:
    found = pipeline.versions.filter(number=int(number)).first() if number.isascii() and number.isdigit() else None
    if found is None:
        raise serializers.ValidationError({"version": [f"There is no version {number!r}."]})
    version: PipelineVersion = found
    return version


def _document(pipeline: Pipeline, name: str) -> dict[str, Any]:
    if name == DRAFT:
        return document_of(pipeline)
    document: dict[str, Any] = _version(pipeline, name).document
    return document


def _standing(pipeline: Pipeline) -> dict[str, int]:
    """Runs that stand at each step now, by its key."""
    counts = runs_by_step(pipeline=pipeline, now=engine_now())
    keys = dict(PipelineStep.objects.filter(pk__in=counts).values_list("pk", "key"))
    return {keys[pk]: each.waiting + each.due + each.running for pk, each in counts.items() if pk in keys}


def _previewed(pipeline: Pipeline, document: dict[str, Any], *, policy: Any) -> Response:
    found: Preview = operations.preview(pipeline=pipeline, document=document, policy=policy)
    current = pipeline.current_version
    told_lines = [_line(line) for line in found.lines]
    values = {
        "changes_anything": found.changes_anything,
        "version": found.number,
        "policy": found.policy,
        "runs_on_the_way": found.on_the_way,
        "moved": found.moved.as_details(),
        "lines": told_lines,
        "changes": _changes(current.document, document) if current else [],
        "problems": bodies.problems_out(found.problems)["problems"],
    }
    return Response(values)


def _line(line: Line) -> dict[str, Any]:
    return {
        "step": line.step,
        "name": line.name,
        "runs": line.count,
        "what": line.what,
        "to": line.to,
        "words": line.words,
        "due_before": line.due_before,
        "due_after": line.due_after,
    }


def _changes(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "what": change.what,
            "part": change.part,
            "key": change.key,
            "name": change.name,
            "sentence": change.sentence,
            "fields": [
                {"field": each.field, "before": each.before, "after": each.after, "words": each.words}
                for each in change.fields
            ],
        }
        for change in pictures.changes(old, new)
    ]
