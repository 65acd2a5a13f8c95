"""Files of contacts through the API: bring one, watch it, and read what was refused."""

import json
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, inline_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from contacts.api.serializers import person_behind
from contacts.imports.lifecycle import ImportRefused, begin_check, cancel, choices_of, start
from contacts.imports.mapping import MappingProblem, columns_of, full_key
from contacts.imports.uploads import bring
from contacts.models import ContactImport
from crm.api.filters import refuse_unknown
from crm.api.known_keys import KnownKeys
from crm.api.problems import Conflict
from crm.csv_files import UnreadableFile
from crm.scoping import TeamScopedReadOnlyViewSet, TeamScopedSerializer

PROBLEMS = inline_serializer(
    name="ImportProblems",
    fields={
        "next": serializers.CharField(allow_null=True),
        "previous": serializers.CharField(allow_null=True),
        "results": inline_serializer(
            name="ImportProblem",
            many=True,
            fields={
                "line": serializers.IntegerField(),
                "reason": serializers.CharField(),
                "cells": serializers.ListField(child=serializers.CharField()),
            },
        ),
    },
)
COUNTS = {
    "type": "object",
    "properties": {
        **{
            name: {"type": "integer"}
            for name in ("rows", "created", "updated", "skipped", "failed", "enrolled", "companies", "reported")
        },
        "pipelines": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "runs": {"type": "integer"}},
            },
        },
    },
}


@extend_schema_field(COUNTS)
class CountsField(serializers.JSONField):
    """What became of the rows."""


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
class MappingField(serializers.JSONField):
    """`{"title": "field"}`, which in a form is written as JSON."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        try:
            value = json.loads(data) if isinstance(data, str) else data
        except ValueError:
            value = None
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise serializers.ValidationError('Write an object such as {"Work mail": "email", "Notes": "-"}.')
        return {str(title): target.strip() for title, target in value.items()}


class ContactImportSerializer(TeamScopedSerializer):
    """An import: how it reads its file, where it stands, and what became of the rows."""

    rows = serializers.IntegerField(source="row_count", read_only=True)
    columns = serializers.SerializerMethodField()
    counts = CountsField(read_only=True)
    trial = CountsField(read_only=True)

    class Meta:
        model = ContactImport
        fields = (
            "id", "name", "source", "state", "rows", "position", "columns", "key", "existing", "enroll", "counts",
            "trial", "problem", "created_at", "started_at", "finished_at",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"title": {"type": "string"}, "field": {"type": "string"}},
                "required": ["title", "field"],
            },
        }
    )
    def get_columns(self, row: ContactImport) -> list[dict[str, str]]:
        columns = columns_of(header=row.header, targets=row.targets).columns
        return [{"title": column.title, "field": column.target} for column in columns]


class BringSerializer(KnownKeys):
    """A file and how it is to be read."""

    file = serializers.FileField()
    mapping = MappingField(required=False, default=dict)
    unknown = serializers.ChoiceField(choices=["ignore", "custom"], default="ignore")
    key = serializers.CharField(required=False, default="", max_length=60)
    existing = serializers.ChoiceField(choices=ContactImport.Existing.choices, default=ContactImport.Existing.UPDATE)
    enroll = serializers.BooleanField(default=True)
    dry_run = serializers.BooleanField(default=False)

    def validate_key(self, key: str) -> str:
        return full_key(key)


class ContactImportViewSet(TeamScopedReadOnlyViewSet):
    """Files of contacts: each is checked, or checked and imported, in the background."""

    resource = "contact-imports"
    verbs = {"start": "run", "cancel": "run", "problems": "view"}
    queryset = ContactImport.objects.select_related("team")
    serializer_class = ContactImportSerializer
    filter_fields = {"state": "state", "source": "source"}
    search_fields = ("name",)
    ordering_fields = ("created_at",)
    parser_classes = (MultiPartParser, JSONParser)
    # Files are kept outside of the database.
    post_in_one_transaction = False

    @extend_schema(request={"multipart/form-data": BringSerializer}, responses={202: ContactImportSerializer})
    def create(self, request: Request) -> Response:
        """Bring a CSV file. It is imported at once, or with `dry_run` only checked until `start` is called."""
        body = BringSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        wish = body.validated_data
        try:
            row = bring(
                team=self.team,
                upload=wish["file"],
                by=person_behind(request),
                source=ContactImport.Source.API,
                given=wish["mapping"],
                unknown=wish["unknown"],
                key=wish["key"],
                existing=wish["existing"],
                enroll=wish["enroll"],
                strict=True,
            )
        except UnreadableFile as problem:
            raise serializers.ValidationError({"file": [str(problem)]}) from problem
        except MappingProblem as problem:
            raise serializers.ValidationError({"mapping": [str(problem)]}) from problem
        if wish["dry_run"]:
            begin_check(row=row, choices=choices_of(row))
        else:
            start(row=row, now=timezone.now(), unchecked=True)
        self.audit("added", row)
        return self._answer(row)

    @extend_schema(request=None, responses={202: ContactImportSerializer})
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: str) -> Response:
        """Import what was checked."""
        row = self.get_object()
        try:
            start(row=row, now=timezone.now())
        except ImportRefused as refused:
            raise Conflict(str(refused)) from refused
        self.audit("started", row)
        return self._answer(row)

    @extend_schema(request=None, responses={202: ContactImportSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Import nothing more; what was imported stays."""
        row = self.get_object()
        try:
            cancel(row=row, now=timezone.now())
        except ImportRefused as refused:
            raise Conflict(str(refused)) from refused
        self.audit("cancelled", row)
        return self._answer(row)

    @extend_schema(
        parameters=[OpenApiParameter("after", int), OpenApiParameter("limit", int)], responses=PROBLEMS, filters=False
    )
    @action(detail=True, methods=["get"])
    def problems(self, request: Request, pk: str) -> Response:
        """Rows that were not taken, with the reasons, by the lines they begin on."""
        refuse_unknown(request=request, known={"after", "limit"})
        asked = _PageQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        after, limit = asked.validated_data["after"], asked.validated_data["limit"]
        rows = self.get_object().problems.filter(line__gt=after).order_by("line").values("line", "reason", "cells")
        found = list(rows[: limit + 1])
        more = None
        if len(found) > limit:
            more = replace_query_param(request.build_absolute_uri(), "after", found[limit - 1]["line"])
        return Response({"next": more, "previous": None, "results": found[:limit]})

    def _answer(self, row: ContactImport) -> Response:
        row.refresh_from_db()
        return Response(self.get_serializer(row).data, status=202)


class _PageQuery(serializers.Serializer[Any]):
    """Parameters of the list of refused rows."""

    after = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    limit = serializers.IntegerField(min_value=1, max_value=1000, default=100)
