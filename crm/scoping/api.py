"""The base of every resource of the API: rows, relations and writes of the key's team only."""

from collections.abc import Mapping
from typing import Any, cast

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import models, transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet, ReadOnlyModelViewSet

from crm.api.filters import FilterFields
from crm.api.idempotency import once
from crm.api.known_keys import KnownKeys
from crm.api.problems import as_detail
from crm.auditing import audit_request
from crm.models import ApiKey, Team
from crm.permissions import MATRIX
from crm.scoping.rows import has_own_team, rows_of_team, subject_types, team_path


def team_of_context(context: Mapping[str, Any]) -> Team:
    """The team of the key behind a serializer's request."""
    return context["request"].auth.team  # type: ignore[no-any-return]


class TeamScopedRelatedField(serializers.PrimaryKeyRelatedField[Any]):
    """A relation that knows only rows of the team: another team's key reads like an unknown one."""

    def get_queryset(self) -> QuerySet[Any] | None:
        rows = super().get_queryset()
        if rows is None:
            return None
        return rows_of_team(model=rows.model, team=team_of_context(self.context), queryset=rows)


@extend_schema_field(
    {"type": ["object", "null"], "properties": {"type": {"type": "string"}, "id": {"type": "integer"}}}
)
class SubjectField(serializers.Field[Any, Any, Any, Any]):
    """A generic relation as `{"type": "contacts.contact", "id": 5}`; name it with `source="*"`."""

    default_error_messages = {
        "shape": 'Use {{"type": "contacts.contact", "id": 5}}.',
        "unknown": "There is no such record.",
    }

    def __init__(self, *, prefix: str = "subject", **kwargs: Any) -> None:
        self.prefix = prefix
        super().__init__(source="*", **kwargs)

    def to_representation(self, value: Any) -> dict[str, Any] | None:
        key = getattr(value, f"{self.prefix}_type_id")
        if key is None:
            return None
        kind = ContentType.objects.get_for_id(key)
        return {"type": f"{kind.app_label}.{kind.model}", "id": getattr(value, f"{self.prefix}_id")}

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data is None and self.allow_null:
            return {f"{self.prefix}_type": None, f"{self.prefix}_id": None}
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict) or not isinstance(data.get("type"), str):
            self.fail("shape")
        key = data.get("id")
        if isinstance(key, bool) or not isinstance(key, int):
            self.fail("shape")
        kind = ContentType.objects.filter(pk__in=subject_types())
        app_label, _, name = data["type"].lower().partition(".")
        found = kind.filter(app_label=app_label, model=name).first()
        model = found.model_class() if found else None
        if model is None or not rows_of_team(model=model, team=team_of_context(self.context)).filter(pk=key).exists():
            self.fail("unknown")
        return {f"{self.prefix}_type": found, f"{self.prefix}_id": key}


class TeamScopedSerializer(KnownKeys, serializers.ModelSerializer[Any]):
    """A serializer with explicit fields, scoped relations, and the constraints of its table as messages."""

    serializer_related_field = TeamScopedRelatedField

    def get_field_names(self, declared_fields: Any, info: Any) -> Any:
        fields = getattr(self.Meta, "fields", None)
        if not isinstance(fields, (list, tuple)) or hasattr(self.Meta, "exclude"):
            raise ImproperlyConfigured(f"{type(self).__name__} must name its fields one by one.")
        if "team" in fields:
            raise ImproperlyConfigured(f"{type(self).__name__} must not offer the team: it comes from the key.")
        return super().get_field_names(declared_fields, info)

    def get_unique_together_validators(self) -> list[Any]:
        """Left to `validate`, which knows the team."""
        return []

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        model: type[models.Model] = self.Meta.model
        candidate = model()
        if self.instance is not None:
            for field in model._meta.concrete_fields:
                setattr(candidate, field.attname, getattr(self.instance, field.attname))
            candidate._state.adding = False
        elif has_own_team(model):
            candidate.team = team_of_context(self.context)  # type: ignore[attr-defined]
        concrete = {field.name for field in model._meta.concrete_fields}
        for name, value in attrs.items():
            if name in concrete:
                setattr(candidate, name, value)
        self._check_constraints(candidate)
        return attrs

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        """Write what the request names and leave the other columns as they are."""
        for name, value in validated_data.items():
            setattr(instance, name, value)
        stamps = [each.name for each in instance._meta.concrete_fields if getattr(each, "auto_now", False)]
        instance.save(update_fields=[*validated_data, *stamps])
        return instance

    def _check_constraints(self, candidate: models.Model) -> None:
        try:
            candidate.validate_unique()
            candidate.validate_constraints()
        except ModelValidationError as refused:
            raise serializers.ValidationError(as_detail(refused)) from refused


class TeamScopedView(APIView):
    """Any view of the API: it names its resource, and honors `Idempotency-Key` on POST."""

    resource: str
    verbs: Mapping[str, str] = {}
    metadata_class = None
    post_in_one_transaction = True
    auth_required = True

    @classmethod
    def as_view(cls, *args: Any, **initkwargs: Any) -> Any:
        cls.check_completeness()
        return super().as_view(*args, **initkwargs)

    @classmethod
    def check_completeness(cls) -> None:
        """Refuse to be routed without a place in the permission matrix."""
        if getattr(cls, "resource", None) not in MATRIX:
            raise ImproperlyConfigured(f"{cls.__name__}.resource must be a resource of crm.permissions.MATRIX.")
        unknown = set(cls.verbs.values()) - set(MATRIX[cls.resource])
        if unknown:
            raise ImproperlyConfigured(f"{cls.__name__}.verbs name verbs the matrix lacks: {sorted(unknown)}.")

    @property
    def key(self) -> ApiKey:
        return cast(ApiKey, self.request.auth)

    @property
    def team(self) -> Team:
        return self.key.team

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method == "POST" and "Idempotency-Key" in request.headers and request.auth is not None:
            handler = getattr(self, "post", None)
            if handler is not None:
                # The instance serves this one request, and DRF looks the handler up after this.
                self.post = once(handler=handler, request=request, one_transaction=self.post_in_one_transaction)

    def audit(self, verb: str, target: object = "", fields: Any = (), **details: Any) -> None:
        """Record an act of this key on this resource."""
        audit_request(
            request=self.request,
            action=f"{self.resource}.{verb}",
            target=target,
            fields=fields,
            team=self.team,
            **details,
        )


class _TeamScopedRows(TeamScopedView):
    """What lists and details share."""

    queryset: Any
    serializer_class: Any
    filter_fields: FilterFields
    search_fields: tuple[str, ...]
    ordering_fields: tuple[str, ...]
    lookup_value_regex = r"[0-9]{1,18}"

    @classmethod
    def check_completeness(cls) -> None:
        super().check_completeness()
        for name in (
            "queryset",
            "serializer_class",
            "filter_fields",
            "search_fields",
            "ordering_fields",
        ):
            if getattr(cls, name, None) is None:
                raise ImproperlyConfigured(f"{cls.__name__} must set {name}, empty if nothing is allowed.")
        if not issubclass(cls.serializer_class, TeamScopedSerializer):
            raise ImproperlyConfigured(f"{cls.__name__}.serializer_class must be a TeamScopedSerializer.")
        if team_path(cls.queryset.model) is None:
            raise ImproperlyConfigured(f"{cls.queryset.model.__name__} needs a team_lookup.")

    def get_queryset(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset()  # type: ignore[misc]
        if getattr(self, "swagger_fake_view", False):
            return rows.none()
        return rows_of_team(model=rows.model, team=self.team, queryset=rows)


class TeamScopedReadOnlyViewSet(_TeamScopedRows, ReadOnlyModelViewSet[Any]):
    """List and detail of rows the API never writes."""


class TeamScopedViewSet(_TeamScopedRows, ModelViewSet[Any]):
    """List, detail and writes, each write in one transaction and audited."""

    http_method_names = ["get", "post", "put", "patch", "delete", "head"]

    def perform_create(self, serializer: Any) -> None:
        with transaction.atomic():
            own = {"team": self.team} if has_own_team(serializer.Meta.model) else {}
            serializer.save(**own, **self.values_on_create())
            self.audit("added", serializer.instance, serializer.validated_data)

    def values_on_create(self) -> dict[str, Any]:
        """Values a new row gets besides the given ones, such as who made it."""
        return {}

    def perform_update(self, serializer: Any) -> None:
        """Write onto the row as it is now: since the request read it, others may have written into it."""
        try:
            with transaction.atomic():
                self.lock(serializer.instance)
                serializer.save()
                self.audit("changed", serializer.instance, serializer.validated_data)
        except serializer.Meta.model.DoesNotExist as gone:
            raise NotFound from gone

    def lock(self, row: models.Model) -> None:
        """Read a row again, and keep others from writing into it until the transaction ends."""
        rows = self.get_queryset().prefetch_related(None)
        row.refresh_from_db(from_queryset=rows.select_for_update(of=("self",), no_key=True))

    def perform_destroy(self, instance: Any) -> None:
        with transaction.atomic():
            self.audit("deleted", instance)
            instance.delete()
