"""What the API accepts about pipelines, and small answers that are no rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from crm.api.filters import refuse_unknown
from crm.api.known_keys import KnownKeys
from pipelines.definition.document import Problem
from pipelines.dialects import translated
from pipelines.documents import FORMAT
from pipelines.engine.existing import Existing

MAX_SUBJECTS = 1_000


def read(shape: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """The checked body of a request."""
    body = shape(data=request.data or {})
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


def asked(shape: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """The checked parameters of a request; those nobody knows are refused."""
    query = shape(data=request.query_params)
    refuse_unknown(request=request, known=set(query.fields))
    query.is_valid(raise_exception=True)
    return dict(query.validated_data)


def document_in(data: Any, *, current: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A document from a request in our own format, laid over the current one for a partial change."""
    if not isinstance(data, Mapping):
        raise ValidationError("Send a definition document: a JSON object.")
    if current is None:
        data = translated(data)
    return {"format": FORMAT, **(current or {}), **data}


def problems_out(problems: Sequence[Problem]) -> dict[str, Any]:
    """Problems as the API tells them."""
    told = [{"path": p.path, "message": p.message, "severity": p.severity} for p in problems]
    return {"valid": not any(problem.severity == "error" for problem in problems), "problems": told}


def existing_out(found: Existing) -> dict[str, Any]:
    """Who fits a trigger, as the API tells it."""
    return {
        "trigger": found.trigger.key or str(found.trigger),
        "count": found.total,
        "at_least": found.at_least,
        "always": found.always,
        "first": [record["id"] for record in found.first],
    }


class PublishIn(KnownKeys):
    """A word about what changed, and what becomes of runs on their way; the settings decide when left out.

    `force` publishes in spite of expectations that are not met.
    """

    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=400)
    force = serializers.BooleanField(required=False, default=False)
    policy = serializers.ChoiceField(choices=["follow", "pin", "cancel"], required=False, allow_null=True, default=None)


class ActivateIn(KnownKeys):
    """Whether records that fit the triggers already enter as well; `existing` counts them before."""

    enroll_existing = serializers.BooleanField(required=False, default=False)


class ExistingOut(serializers.Serializer[Any]):
    """Who would enter by one trigger; `always` says that they enter whether asked to or not."""

    trigger = serializers.CharField()
    count = serializers.IntegerField()
    at_least = serializers.BooleanField(help_text="Whether there may be more, because not all were looked at.")
    always = serializers.BooleanField()
    first = serializers.ListField(child=serializers.IntegerField(), help_text="Ids of the newest.")


class ReplayIn(KnownKeys):
    """From which step, the run itself or a copy of it, and whether what was sent may be sent again."""

    step = serializers.CharField(max_length=40)
    mode = serializers.ChoiceField(choices=["in_place", "clone"], required=False, default="in_place")
    confirm = serializers.BooleanField(required=False, default=False)


class RetryFailedIn(KnownKeys):
    """Failed runs of a step, all or those with one error; `confirm` retries them, without it they are counted."""

    pipeline = serializers.CharField(max_length=40)
    step = serializers.CharField(max_length=40)
    error = serializers.CharField(required=False, default="", allow_blank=True, max_length=400)
    confirm = serializers.BooleanField(required=False, default=False)


class RetriedOut(serializers.Serializer[Any]):
    """How many there are, how many were retried now, and how many cannot: their records came in again since."""

    count = serializers.IntegerField()
    retried = serializers.IntegerField()
    entered_again = serializers.IntegerField()
    note = serializers.CharField(help_text="A sentence about those that cannot be retried, empty when all can.")


class ArchiveIn(KnownKeys):
    """What becomes of live runs; needed only when there are any."""

    runs = serializers.ChoiceField(choices=["cancel", "finish"], required=False, allow_null=True, default=None)


class DuplicateIn(KnownKeys):
    """The key of the copy; made up when it is left out."""

    key = serializers.RegexField(r"^([a-z][a-z0-9_]{0,39})?$", required=False, default="", allow_blank=True)


class EnrollIn(KnownKeys):
    """Ids of the records, and values for the variables of their runs; of a `test` nothing leaves."""

    subjects = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), max_length=MAX_SUBJECTS, min_length=1
    )
    variables = serializers.DictField(required=False, default=dict)
    test = serializers.BooleanField(required=False, default=False)


class TriggerIn(KnownKeys):
    """One record, or none for a pipeline that is about none; of a `test` nothing leaves."""

    subject = serializers.IntegerField(required=False, allow_null=True, default=None, min_value=1, max_value=2**63 - 1)
    payload = serializers.DictField(required=False, default=dict)
    variables = serializers.DictField(required=False, default=dict)
    test = serializers.BooleanField(required=False, default=False)


class RefusedOut(serializers.Serializer[Any]):
    """A record that did not enter, and why."""

    subject = serializers.IntegerField(allow_null=True)
    reason = serializers.CharField()
    detail = serializers.CharField()


class EnrollOut(serializers.Serializer[Any]):
    """Ids of the new runs, and who was refused."""

    runs = serializers.ListField(child=serializers.IntegerField())
    refused = RefusedOut(many=True)


class ProblemOut(serializers.Serializer[Any]):
    """One problem with its place."""

    path = serializers.CharField(allow_blank=True)
    message = serializers.CharField()
    severity = serializers.ChoiceField(choices=["error", "warning"])


class ProblemsOut(serializers.Serializer[Any]):
    """Whether a document could be published, and what stands against it."""

    valid = serializers.BooleanField()
    problems = ProblemOut(many=True)


class UpdateQuery(serializers.Serializer[Any]):
    """Parameters of a change."""

    publish = serializers.BooleanField(required=False, default=False)


class ImportQuery(UpdateQuery):
    """Parameters of an import."""

    activate = serializers.BooleanField(required=False, default=False)
    replace = serializers.BooleanField(required=False, default=True)
    force = serializers.BooleanField(required=False, default=False)


class MetricsOut(serializers.Serializer[Any]):
    """Figures of one pipeline."""

    runs = serializers.DictField(child=serializers.IntegerField())
    total = serializers.IntegerField()
    success_rate = serializers.FloatField(allow_null=True)
    elapsed_seconds = serializers.FloatField(allow_null=True)
    steps = serializers.ListField(child=serializers.DictField())
