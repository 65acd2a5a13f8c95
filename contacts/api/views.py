"""Resources of contacts: each turns a request into one call."""

from typing import Any

from django.db import transaction
from django.db.models import Model
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from contacts import operations, queries
from contacts.api import serializers as shapes
from contacts.api.bulk import create_in_bulk
from contacts.api.filters import ContactFilterBackend, OwnValueFilterBackend, by_email, by_subject, by_tag, in_segment
from contacts.erasing import erase_contact
from contacts.models import Activity, Company, Contact, Deal
from crm.api.filters import refuse_unknown
from crm.scoping import TeamScopedViewSet

DATES = {
    "created_after": "created_at__gte",
    "created_before": "created_at__lt",
    "updated_after": "updated_at__gte",
}

# The ids of the created contacts, in the order of their items, and what was skipped.
BULK_RESULT = inline_serializer(
    name="BulkResult",
    fields={
        "created": serializers.IntegerField(),
        "ids": serializers.ListField(child=serializers.IntegerField()),
        "errors": serializers.ListField(child=serializers.DictField()),
    },
)


class ContactViewSet(TeamScopedViewSet):
    """Contacts."""

    resource = "contacts"
    verbs = {
        "bulk": "bulk",
        "merge": "merge",
        "erase": "erase",
        "timeline": "view",
        "duplicates": "view",
    }
    queryset = Contact.objects.prefetch_related("tags")
    serializer_class = shapes.ContactSerializer
    filter_backends = (ContactFilterBackend,)
    own_values = "custom"
    filter_fields = {
        "email": by_email,
        "stage": "lifecycle_stage",
        "owner": "owner",
        "company": "company",
        "tag": by_tag,
        "segment": in_segment,
        "source": "lead_source",
        "phone": "phone",
        **DATES,
    }
    search_fields = ("first_name", "last_name", "email", "phone", "company__name", "tags__name")
    ordering_fields = (
        "created_at",
        "updated_at",
        "last_name",
        "email",
        "lifecycle_stage",
        "last_interaction",
    )

    def lock(self, row: Model) -> None:
        """Left to `update_contact`."""

    @extend_schema(request=shapes.BulkSerializer, responses={201: BULK_RESULT})
    @action(detail=False, methods=["post"])
    def bulk(self, request: Request) -> Response:
        """Create up to 1,000 contacts as one batch."""
        body = shapes.BulkSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        with transaction.atomic():
            made = create_in_bulk(
                team=self.team,
                items=body.validated_data["items"],
                skip=body.validated_data["on_error"] == "skip",
                context=self.get_serializer_context(),
            )
            self.audit("bulk", contacts=len(made.ids))
        answer = {"created": len(made.ids), "ids": made.ids, "errors": made.errors}
        return Response(answer, status=201)

    @extend_schema(
        parameters=[OpenApiParameter("before", str), OpenApiParameter("limit", int)],
        responses=shapes.EntrySerializer(many=True),
    )
    @action(detail=True, methods=["get"])
    def timeline(self, request: Request, pk: str) -> Response:
        """What happened to the contact, newest first."""
        refuse_unknown(request=request, known={"before", "limit"})
        asked = _TimelineQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        limit = asked.validated_data["limit"]
        entries = queries.timeline(subject=self.get_object(), before=asked.validated_data.get("before"), limit=limit)
        more = None
        if len(entries) == limit:
            here = request.build_absolute_uri()
            more = replace_query_param(here, "before", entries[-1].at.isoformat())
        results = shapes.EntrySerializer(entries, many=True).data
        return Response({"next": more, "previous": None, "results": results})

    @extend_schema(request=shapes.MergeSerializer, responses=shapes.ContactSerializer)
    @action(detail=True, methods=["post"])
    def merge(self, request: Request, pk: str) -> Response:
        """Make the other contacts part of this one; what they have moves here."""
        body = shapes.MergeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        keep = self.get_object()
        ids = list(dict.fromkeys(body.validated_data["others"]))
        found = {contact.pk: contact for contact in self.get_queryset().filter(pk__in=ids)}
        _refuse_missing(ids, {*found} - {keep.pk})
        with transaction.atomic():
            kept = operations.merge_contacts(
                keep=keep, others=[found[pk] for pk in ids], by=shapes.person_behind(request)
            )
            self.audit("merged", kept, others=ids)
        return Response(self.get_serializer(kept).data)

    @extend_schema(request=None, responses=shapes.ErasedSerializer)
    @action(detail=True, methods=["post"])
    def erase(self, request: Request, pk: str) -> Response:
        """Erase the person for good: the record, the content of every message, and the address wherever it stands."""
        erased = erase_contact(contact=self.get_object(), by=shapes.person_behind(request), how=self.key.name)
        return Response({"counts": erased.counts, "namesakes": erased.namesakes})

    @extend_schema(
        parameters=[OpenApiParameter("cursor", int), OpenApiParameter("page_size", int)],
        responses=shapes.DuplicateGroupSerializer(many=True),
    )
    @action(detail=False, methods=["get"])
    def duplicates(self, request: Request) -> Response:
        """Contacts that share an address, grouped by it."""
        refuse_unknown(request=request, known={"cursor", "page_size"})
        asked = _PageQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        page = queries.duplicates(
            team=self.team,
            after=asked.validated_data["cursor"],
            limit=asked.validated_data["page_size"],
        )
        more = None
        if page.next is not None:
            more = replace_query_param(request.build_absolute_uri(), "cursor", page.next)
        shown = shapes.DuplicateGroupSerializer(page.groups, many=True, context=self.get_serializer_context())
        return Response({"next": more, "previous": None, "results": shown.data})


class CompanyViewSet(TeamScopedViewSet):
    """Companies."""

    resource = "companies"
    queryset = Company.objects.all()
    serializer_class = shapes.CompanySerializer
    filter_backends = (OwnValueFilterBackend,)
    own_values = "custom"
    filter_fields = {
        "name": "name",
        "domain": "domain",
        "industry": "industry",
        "owner": "owner",
        "segment": in_segment,
        **DATES,
    }
    search_fields = ("name", "domain", "phone", "industry")
    ordering_fields = ("name", "created_at", "updated_at")


class DealViewSet(TeamScopedViewSet):
    """Deals."""

    resource = "deals"
    queryset = Deal.objects.all()
    serializer_class = shapes.DealSerializer
    filter_backends = (OwnValueFilterBackend,)
    own_values = "custom"
    filter_fields = {
        "stage": "stage",
        "contact": "contact",
        "company": "company",
        "owner": "owner",
        "segment": in_segment,
        "currency": "currency",
        "amount_min": "amount__gte",
        "amount_max": "amount__lte",
        "closes_before": "expected_close__lt",
        **DATES,
    }
    search_fields = ("title", "contact__last_name", "contact__first_name", "company__name")
    ordering_fields = ("title", "amount", "expected_close", "created_at", "updated_at")


class ActivityViewSet(TeamScopedViewSet):
    """Notes, calls and meetings."""

    resource = "activities"
    queryset = Activity.objects.all()
    serializer_class = shapes.ActivitySerializer
    filter_fields = {
        "kind": "kind",
        "author": "author",
        "after": "at__gte",
        "before": "at__lt",
        "contact": by_subject(Contact, "contact"),
        "company": by_subject(Company, "company"),
        "deal": by_subject(Deal, "deal"),
    }
    search_fields = ("text",)
    ordering_fields = ("at",)


class _TimelineQuery(serializers.Serializer[Any]):
    """Parameters of a timeline."""

    before = serializers.DateTimeField(required=False)
    limit = serializers.IntegerField(min_value=1, max_value=200, default=queries.TIMELINE_LIMIT)


class _PageQuery(serializers.Serializer[Any]):
    """Parameters of the list of duplicates."""

    cursor = serializers.IntegerField(min_value=0, max_value=2**63 - 1, default=0)
    page_size = serializers.IntegerField(min_value=1, max_value=100, default=25)


def _refuse_missing(ids: list[int], found: set[int]) -> None:
    errors: dict[Any, Any] = {
        index: ["There is no other contact with this id."] for index, pk in enumerate(ids) if pk not in found
    }
    if errors:
        raise serializers.ValidationError({"others": errors})
