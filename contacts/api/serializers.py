"""What the API shows and accepts of contacts, companies, deals and activities."""

from typing import Any

from django.contrib.auth.models import User
from rest_framework import serializers

from contacts import operations
from contacts.api.fields import CustomField, PipelinesField, TagNamesField
from contacts.api.own_fields import HoldsOwnFields, HoldsOwnFieldsMerged
from contacts.models import Activity, Company, Contact, Deal
from crm.api.known_keys import KnownKeys
from crm.channels.letters import number_problem
from crm.scoping import SubjectField, TeamScopedSerializer

CONTACT_FIELDS = (
    "first_name",
    "last_name",
    "email",
    "phone",
    "job_title",
    "company",
    "owner",
    "lifecycle_stage",
    "lead_source",
    "timezone",
    "language",
    "last_interaction",
    "custom",
    "tags",
)
NAMING = ("first_name", "last_name", "email", "phone")
NAMELESS = "Give an email, a name or a phone number."


class ContactSerializer(HoldsOwnFields, TeamScopedSerializer):
    """A contact; in lists without its pipelines."""

    name = serializers.CharField(read_only=True)
    custom = CustomField(required=False)
    tags = TagNamesField(required=False)
    pipelines = PipelinesField(required=False)

    class Meta:
        model = Contact
        fields = ("id", "name", *CONTACT_FIELDS, "pipelines", "created_at", "updated_at")
        read_only_fields = ("id", "created_at", "updated_at")

    def get_fields(self) -> Any:
        fields = super().get_fields()
        if getattr(self.context.get("view"), "action", None) in {"list", "duplicates"}:
            # Asking for each contact of a list would cost a statement per row.
            fields.pop("pipelines")
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        if not any(attrs.get(name, getattr(self.instance, name, "")) for name in NAMING):
            raise serializers.ValidationError(NAMELESS)
        return attrs

    def validate_phone(self, value: str) -> str:
        known = self.instance.phone if isinstance(self.instance, Contact) else ""
        problem = number_problem(value) if value and value != known else ""
        if problem:
            raise serializers.ValidationError(problem)
        return value

    def create(self, validated_data: dict[str, Any]) -> Contact:
        values = dict(validated_data)
        team, pipelines = values.pop("team"), values.pop("pipelines", None)
        return operations.create_contact(
            team=team, values=values, pipelines=pipelines, by=person_behind(self.context["request"])
        )

    def update(self, instance: Contact, validated_data: dict[str, Any]) -> Contact:
        values = dict(validated_data)
        pipelines = values.pop("pipelines", None)
        contact = operations.update_contact(
            contact=instance,
            values=values,
            pipelines=pipelines,
            by=person_behind(self.context["request"]),
        )
        # What was prefetched for the request may be older than what was just written.
        getattr(contact, "_prefetched_objects_cache", {}).clear()
        return contact


class BulkContactSerializer(ContactSerializer):
    """One item of a bulk creation; relations are plain ids, looked up for all items at once."""

    company = serializers.IntegerField(required=False, allow_null=True, min_value=1)
    owner = serializers.IntegerField(required=False, allow_null=True, min_value=1)

    class Meta:
        model = Contact
        fields = CONTACT_FIELDS

    def get_fields(self) -> Any:
        fields = super(ContactSerializer, self).get_fields()
        fields.pop("pipelines", None)
        return fields

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and "pipelines" in data:
            raise serializers.ValidationError(
                {"pipelines": ["Not in bulk: enroll the created ids into the pipeline instead."]}
            )
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not any(attrs.get(name) for name in NAMING):
            raise serializers.ValidationError(NAMELESS)
        return attrs


class BulkSerializer(KnownKeys):
    """Up to 1,000 contacts, and what happens to all when some are wrong."""

    items = serializers.ListField(child=serializers.JSONField(), min_length=1, max_length=1000)
    on_error = serializers.ChoiceField(choices=["abort", "skip"], default="abort")


class ErasedSerializer(serializers.Serializer[Any]):
    """What was erased: rows by kind, and other contacts that have the same address."""

    counts = serializers.DictField(child=serializers.IntegerField())
    namesakes = serializers.ListField(child=serializers.IntegerField())


class MergeSerializer(KnownKeys):
    """Which contacts become part of this one."""

    others = serializers.ListField(child=serializers.IntegerField(min_value=1), min_length=1, max_length=20)


class EntrySerializer(serializers.Serializer[Any]):
    """One line of a timeline."""

    at = serializers.DateTimeField()
    kind = serializers.CharField()
    title = serializers.CharField()
    text = serializers.CharField()
    who = serializers.CharField()


class DuplicateGroupSerializer(serializers.Serializer[Any]):
    """Contacts that share an address."""

    email = serializers.CharField()
    count = serializers.IntegerField()
    contacts = ContactSerializer(many=True)


class CompanySerializer(HoldsOwnFieldsMerged, TeamScopedSerializer):
    """A company."""

    custom = CustomField(required=False)

    class Meta:
        model = Company
        fields = (
            "id",
            "name",
            "domain",
            "phone",
            "website",
            "industry",
            "address",
            "owner",
            "custom",
            "created_at",
            "updated_at",
        )
        read_only_fields = ("id", "created_at", "updated_at")


class DealSerializer(HoldsOwnFieldsMerged, TeamScopedSerializer):
    """A deal."""

    custom = CustomField(required=False)

    class Meta:
        model = Deal
        fields = (
            "id",
            "title",
            "contact",
            "company",
            "owner",
            "stage",
            "amount",
            "currency",
            "expected_close",
            "custom",
            "created_at",
            "updated_at",
        )
        read_only_fields = ("id", "created_at", "updated_at")


class ActivitySerializer(TeamScopedSerializer):
    """A line of a timeline that a person or a program writes."""

    kind = serializers.ChoiceField(
        choices=[Activity.Kind.NOTE, Activity.Kind.CALL, Activity.Kind.MEETING],
        default=Activity.Kind.NOTE,
    )
    subject = SubjectField()
    at = serializers.DateTimeField(required=False)

    class Meta:
        model = Activity
        fields = ("id", "kind", "text", "subject", "author", "at")
        read_only_fields = ("id", "author")

    def create(self, validated_data: dict[str, Any]) -> Activity:
        kind = validated_data["subject_type"]
        return operations.add_note(
            subject=kind.get_object_for_this_type(pk=validated_data["subject_id"]),
            team=validated_data["team"],
            text=validated_data["text"],
            kind=validated_data["kind"],
            at=validated_data.get("at"),
            by=person_behind(self.context["request"]),
        )


def person_behind(request: Any) -> User | None:
    """The user behind the key, or None for a key that belongs to nobody."""
    user: Any = request.user
    return user if getattr(user, "pk", None) else None
