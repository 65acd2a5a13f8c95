"""Segments, types of records and their records in the API."""

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Count, F, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from drf_spectacular.utils import (
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
    extend_schema_view,
    inline_serializer,
)
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from contacts.api.filters import OwnValueFilterBackend
from contacts.hooks import segment_rules
from contacts.models import Record, RecordType, Segment, SegmentMembership
from contacts.record_fields import InvalidValues, checked
from contacts.segments import add_members, keep_rule, remove_members
from crm.api.filters import refuse_unknown
from crm.api.known_keys import KnownKeys
from crm.scoping import SubjectField, TeamScopedSerializer, TeamScopedViewSet
from crm.scoping.api import team_of_context
from crm.scoping.rows import subject_types

MOST_MEMBERS = 1000
PAGE = 200


@extend_schema_field({})
class RuleField(serializers.JSONField):
    """A condition, whatever its shape; null is none."""

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        """Null is a value here: the schema says "anything", of which null is a part."""
        return (True, None) if data is None else super().validate_empty_values(data)


class SegmentSerializer(TeamScopedSerializer):
    """A segment and how many are in it."""

    count = serializers.IntegerField(read_only=True, default=0)
    where = RuleField(required=False, help_text="A rule, such as those of triggers: who meets it is in the segment.")

    class Meta:
        model = Segment
        fields = ("id", "key", "name", "kind", "where", "count", "looked_at", "created_at")
        read_only_fields = ("id", "kind", "looked_at", "created_at")

    def validate_where(self, where: Any) -> Any:
        if self.instance is not None and self.instance.is_dynamic == (where is None):
            raise ValidationError("A list stays a list, and a segment with a rule keeps one: make another segment.")
        _check_rule(where)
        return where

    def create(self, validated_data: dict[str, Any]) -> Segment:
        return keep_rule(super().create(validated_data))

    def update(self, instance: Segment, validated_data: dict[str, Any]) -> Segment:
        changed = "where" in validated_data and validated_data["where"] != instance.where
        segment: Segment = super().update(instance, validated_data)
        return keep_rule(segment) if changed else segment


def _check_rule(where: Any) -> None:
    problems = segment_rules.problems(where=where) if where is not None else []
    if problems:
        raise ValidationError(problems)


class SegmentMemberSerializer(serializers.Serializer[Any]):
    """One record of a segment."""

    id = serializers.IntegerField()
    subject = SubjectField()
    added_at = serializers.DateTimeField()
    run = serializers.IntegerField(source="run_id", allow_null=True)


class ChangeMembersSerializer(KnownKeys):
    """Records of one kind that are to be in the segment, and those that are not."""

    type = serializers.CharField(default="contacts.contact")
    add = serializers.ListField(child=serializers.IntegerField(min_value=1), max_length=MOST_MEMBERS, default=list)
    remove = serializers.ListField(child=serializers.IntegerField(min_value=1), max_length=MOST_MEMBERS, default=list)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        ids = {*attrs["add"], *attrs["remove"]}
        app_label, _, name = attrs["type"].lower().partition(".")
        kind = ContentType.objects.filter(pk__in=subject_types(), app_label=app_label, model=name).first()
        model = kind.model_class() if kind is not None else None
        if model is None:
            raise ValidationError({"type": ["Use contacts.contact, contacts.company or contacts.deal."]})
        rows: QuerySet[Any] = model._default_manager.filter(team=team_of_context(self.context))
        known = set(rows.filter(pk__in=ids).values_list("pk", flat=True))
        for part in ("add", "remove"):
            errors: dict[Any, Any] = {
                index: ["There is no such record."] for index, pk in enumerate(attrs[part]) if pk not in known
            }
            if errors:
                raise ValidationError({part: errors})
        return {**attrs, "model": model}


class RuleSerializer(KnownKeys):
    """A rule that is to be tried."""

    where = serializers.JSONField()

    def validate_where(self, where: Any) -> Any:
        _check_rule(where if where is not None else [])
        return where


class RuleContactSerializer(serializers.Serializer[Any]):
    """One of those who meet a rule."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    email = serializers.CharField()


PREVIEW = inline_serializer(
    name="RulePreview",
    fields={
        "count": serializers.IntegerField(),
        "at_least": serializers.BooleanField(help_text="Whether there may be more, because not all were looked at."),
        "first": RuleContactSerializer(many=True),
        "warnings": serializers.ListField(
            child=serializers.CharField(), help_text="Parts of the rule that always have the same result."
        ),
    },
)
CHANGED = inline_serializer(
    name="MembersChanged",
    fields={"added": serializers.IntegerField(), "removed": serializers.IntegerField()},
)


class SegmentViewSet(TeamScopedViewSet):
    """Segments."""

    resource = "segments"
    verbs = {"members": "view", "change_members": "change", "preview": "view"}
    queryset = Segment.objects.annotate(
        count=Coalesce(
            Subquery(
                SegmentMembership.objects.filter(segment=OuterRef("pk"))
                .order_by()
                .values("segment")
                .annotate(n=Count(F("pk")))
                .values("n"),
                output_field=IntegerField(),
            ),
            0,
        )
    )
    serializer_class = SegmentSerializer
    filter_fields = {"key": "key", "kind": "kind"}
    search_fields = ("name", "key")
    ordering_fields = ("name", "key", "created_at")

    @extend_schema(
        parameters=[OpenApiParameter("cursor", int)],
        responses=inline_serializer(
            name="MemberPage",
            fields={
                "next": serializers.CharField(allow_null=True),
                "previous": serializers.CharField(allow_null=True),
                "results": SegmentMemberSerializer(many=True),
            },
        ),
    )
    @action(detail=True, methods=["get"])
    def members(self, request: Request, pk: str) -> Response:
        """Who is in the segment, in the order they came."""
        refuse_unknown(request=request, known={"cursor"})
        asked = _After(data=request.query_params)
        asked.is_valid(raise_exception=True)
        rows = self.get_object().memberships.filter(pk__gt=asked.validated_data["cursor"]).order_by("pk")
        page = list(rows[: PAGE + 1])
        more = None
        if len(page) > PAGE:
            more = replace_query_param(request.build_absolute_uri(), "cursor", page[PAGE - 1].pk)
        shown = SegmentMemberSerializer(page[:PAGE], many=True).data
        return Response({"next": more, "previous": None, "results": shown})

    @extend_schema(request=ChangeMembersSerializer, responses=CHANGED)
    @action(detail=True, methods=["post"], url_path="change-members")
    def change_members(self, request: Request, pk: str) -> Response:
        """Add records to the segment and take others out, up to 1,000 each."""
        segment = self.get_object()
        if segment.is_dynamic:
            raise ValidationError({"kind": ["A rule says who is in this segment: change the rule, or the contacts."]})
        body = ChangeMembersSerializer(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        with transaction.atomic():
            added = add_members(segment=segment, model=asked["model"], ids=asked["add"])
            removed = remove_members(segment=segment, model=asked["model"], ids=asked["remove"])
            self.audit("members", segment, added=added, removed=removed)
        return Response({"added": added, "removed": removed})

    @extend_schema(request=RuleSerializer, responses=PREVIEW)
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """How many contacts meet a rule, and the newest ten of them; nothing is stored."""
        body = RuleSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        found = segment_rules.preview(team=self.team, where=body.validated_data["where"])
        first = RuleContactSerializer(found.first, many=True).data
        told = {"count": found.total, "at_least": found.at_least, "first": first, "warnings": list(found.warnings)}
        return Response(told)


class _After(serializers.Serializer[Any]):
    """Where a page of members begins."""

    cursor = serializers.IntegerField(min_value=0, max_value=2**63 - 1, default=0)


class RecordTypeSerializer(TeamScopedSerializer):
    """A type of records and its fields."""

    class Meta:
        model = RecordType
        fields = ("id", "key", "label", "fields", "created_at")
        read_only_fields = ("id", "created_at")

    def validate_key(self, key: str) -> str:
        """Steps name a type by its key, so it stays."""
        if self.instance is not None and key != self.instance.key:
            raise serializers.ValidationError("The key of a type cannot be changed.")
        return key


class RecordTypeViewSet(TeamScopedViewSet):
    """Types of records that the team defines."""

    resource = "record-types"
    queryset = RecordType.objects.all()
    serializer_class = RecordTypeSerializer
    filter_fields = {"key": "key"}
    search_fields = ("label", "key")
    ordering_fields = ("label", "key", "created_at")


class RecordSerializer(TeamScopedSerializer):
    """A record; `type` is the key of its type, which `values` must fit."""

    type: Any = serializers.SlugRelatedField(slug_field="key", read_only=True)
    values = serializers.JSONField(required=False)

    class Meta:
        model = Record
        fields = ("id", "type", "values", "created_at", "updated_at")
        read_only_fields = ("id", "created_at", "updated_at")

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        attrs: dict[str, Any] = super().to_internal_value(data)
        kind = self._type(data)
        values = attrs.get("values", {})
        if not isinstance(values, dict):
            raise serializers.ValidationError({"values": ['Give an object such as {"quantity": 1}.']})
        partial = self.instance is not None and self.partial
        try:
            found = checked(kind.fields, values, partial=partial)
        except InvalidValues as error:
            raise serializers.ValidationError({"values": {key: [text] for key, text in error.problems}}) from error
        if "values" in attrs or self.instance is None:
            attrs["values"] = found
        return {**attrs, "type": kind} if self.instance is None else attrs

    def update(self, instance: Record, validated_data: dict[str, Any]) -> Any:
        """PATCH changes only the values it names."""
        if self.partial and "values" in validated_data:
            validated_data = {**validated_data, "values": {**instance.values, **validated_data["values"]}}
        return super().update(instance, validated_data)

    def _type(self, data: Any) -> RecordType:
        if self.instance is not None:
            return self.instance.type  # type: ignore[no-any-return]
        key = self.context["view"].kwargs.get("type") or (data.get("type") if isinstance(data, dict) else None)
        kind = RecordType.objects.for_team(team_of_context(self.context)).filter(key=str(key)).first()
        if kind is None or "\x00" in str(key):
            raise serializers.ValidationError({"type": ["There is no such type of record."]})
        return kind


class RecordViewSet(TeamScopedViewSet):
    """Records of the types that the team defines."""

    resource = "records"
    queryset = Record.objects.select_related("type")
    serializer_class = RecordSerializer
    filter_backends = (OwnValueFilterBackend,)
    own_values = "values"
    filter_fields = {"type": "type__key", "created_after": "created_at__gte", "updated_after": "updated_at__gte"}
    search_fields = ()
    ordering_fields = ("created_at", "updated_at")


@extend_schema_view(
    list=extend_schema(operation_id="typed_records_list"),
    create=extend_schema(operation_id="typed_records_create"),
    retrieve=extend_schema(operation_id="typed_records_retrieve"),
    update=extend_schema(operation_id="typed_records_update"),
    partial_update=extend_schema(operation_id="typed_records_partial_update"),
    destroy=extend_schema(operation_id="typed_records_destroy"),
)
class TypedRecordViewSet(RecordViewSet):
    """The records of one type, below its key."""

    filter_fields = {"created_after": "created_at__gte", "updated_after": "updated_at__gte"}

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        kind = get_object_or_404(RecordType.objects.for_team(self.team), key=self.kwargs["type"])
        return rows.filter(type=kind)
