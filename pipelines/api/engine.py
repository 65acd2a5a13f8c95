"""The state of the engine, its log, the test clock, and two calculators for people who write pipelines."""

from dataclasses import asdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from crm.api.filters import refuse_unknown
from crm.scoping import TeamScopedView
from crm.timezones import known_timezones
from pipelines.alarms import alarms
from pipelines.counting import run_counts, state_counts
from pipelines.definition.conditions import ConditionError, compile_condition
from pipelines.definition.expressions import ExpressionError, compile_expression
from pipelines.engine.clock import engine_now, real_now
from pipelines.engine.outage import outages
from pipelines.engine.plain import plain
from pipelines.engine.tick import run_until_idle
from pipelines.models import PipelineStep, StepExecution
from pipelines.personal import personal_names, reasons_without_personal
from pipelines.queries import dashboard_numbers, engine_status

FREE = OpenApiTypes.OBJECT


class StatusView(TeamScopedView):
    """Whether the engine moves, and what it has to do for this team."""

    resource = "engine"
    verbs = {"get": "view"}

    @extend_schema(responses=FREE)
    def get(self, request: Request) -> Response:
        refuse_unknown(request=request, known=set())
        now = engine_now()
        status = engine_status(real_now=real_now())
        runs = run_counts(state_counts(team=self.team, now=now))
        numbers = dashboard_numbers(team=self.team, user=None, runs=runs, now=now)
        return Response(
            {
                "last_tick_at": status.last_tick_at,
                "tick_age_seconds": status.tick_age_seconds,
                "workers": status.workers,
                "runs": asdict(runs),
                "active_pipelines": numbers.active_pipelines,
                "sent_today": numbers.sent_today,
                "uncertain": numbers.uncertain,
                "alarms": [
                    {"code": each.code, "pipeline_id": each.pipeline_id, "says": each.sentence}
                    for each in alarms(team=self.team, now=now)
                ],
                "outages": [
                    {
                        "channel": each.channel,
                        "since": each.since,
                        "next_try_at": each.next_at,
                        "code": each.code,
                        "detail": each.detail,
                    }
                    for each in outages(team=self.team, now=now)
                ],
            }
        )


# How many rows of the log one request looks at.
STRETCH = 200_000


class _LogQuery(serializers.Serializer[Any]):
    """Parameters of the log."""

    cursor = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    page_size = serializers.IntegerField(required=False, default=50, min_value=1, max_value=200)
    pipeline = serializers.CharField(required=False, max_length=40)
    run = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    event = serializers.ChoiceField(required=False, choices=[event.name.lower() for event in StepExecution.Event])


class LogView(TeamScopedView):
    """What happened at the steps of the team's pipelines, newest first."""

    resource = "engine"
    verbs = {"get": "logs"}

    @extend_schema(
        parameters=[_LogQuery],
        responses=inline_serializer(
            "LogPage",
            {
                "next": serializers.CharField(allow_null=True),
                "previous": serializers.CharField(allow_null=True),
                "results": serializers.ListField(child=serializers.DictField()),
            },
        ),
    )
    def get(self, request: Request) -> Response:
        refuse_unknown(request=request, known=set(_LogQuery().fields))
        asked = _LogQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        query = asked.validated_data
        steps = self._steps(query.get("pipeline"))
        rows = StepExecution.objects.filter(step_id__in=list(steps)).order_by("-id")
        if "run" in query:
            rows = rows.filter(run_id=query["run"])
        if "event" in query:
            rows = rows.filter(event=StepExecution.Event[query["event"].upper()])
        page, below = _page(rows, before=query.get("cursor"), size=query["page_size"], all_of_it="run" in query)
        more = None if below is None else replace_query_param(request.build_absolute_uri(), "cursor", below)
        names = personal_names(team_id=self.team.pk)
        return Response({"next": more, "previous": None, "results": [_line(row, steps, names) for row in page]})

    def _steps(self, pipeline: str | None) -> dict[int, tuple[str, str]]:
        """Keys of pipeline and step by id, of this team only: the log itself knows no team."""
        rows = PipelineStep.objects.for_team(self.team)
        if pipeline is not None:
            rows = rows.filter(pipeline__key=pipeline)
        return {pk: (key, step) for pk, key, step in rows.values_list("pk", "pipeline__key", "key")}


def _page(
    rows: QuerySet[StepExecution], *, before: int | None, size: int, all_of_it: bool
) -> tuple[list[StepExecution], int | None]:
    """(rows, id below which the next page begins or None).

    The log knows no team, so a quiet one beside busy ones looks at a stretch of it at a time: a page may be short.
    """
    ids = StepExecution.objects.values_list("id", flat=True)
    # Two looks at the ends of an index; asked together, SQLite would read the whole of it.
    oldest, newest = ids.order_by("id").first() or 0, ids.order_by("-id").first() or 0
    top = min(before or 2**63 - 1, newest + 1)
    floor = oldest if all_of_it else max(oldest, top - STRETCH)
    found = list(rows.filter(id__lt=top, id__gte=floor)[: size + 1])
    if len(found) > size:
        return found[:size], found[size - 1].pk
    return found, floor if floor > oldest else None


def _line(row: StepExecution, steps: dict[int, tuple[str, str]], names: frozenset[str]) -> dict[str, Any]:
    pipeline, step = steps[row.step_id]
    return {
        "id": row.pk,
        "at": row.at,
        "run": row.run_id,
        "pipeline": pipeline,
        "step": step,
        "seq": row.seq,
        "attempt": row.attempt,
        "event": row.get_event_display(),
        "outcome": row.outcome,
        "why": reasons_without_personal(row.why, names=names) if row.why else row.why,
        "error": row.error,
    }


class _TickIn(serializers.Serializer[Any]):
    """The time the engine is to believe in."""

    now = serializers.DateTimeField()


class TickView(TeamScopedView):
    """Sets the test clock and works until nothing is due; only with DEBUG and PIPELINES_TEST_CLOCK."""

    resource = "engine"
    verbs = {"post": "tick"}
    post_in_one_transaction = False

    @extend_schema(request=_TickIn, responses=FREE)
    def post(self, request: Request) -> Response:
        if not (settings.DEBUG and settings.PIPELINES_TEST_CLOCK):
            raise Http404
        body = _TickIn(data=request.data)
        body.is_valid(raise_exception=True)
        report = run_until_idle(now=body.validated_data["now"])
        return Response({"now": body.validated_data["now"], **report.as_dict(), "enrolled": report.enrolled})


class _EvaluateIn(serializers.Serializer[Any]):
    """An expression or a condition, and the names it may read."""

    expr = serializers.CharField(required=False, max_length=10_000, trim_whitespace=False)
    condition = serializers.JSONField(required=False)

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "context": serializers.DictField(required=False, default=dict)}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("expr" in attrs) == ("condition" in attrs):
            raise ValidationError("Give either expr or condition.")
        return attrs


class EvaluateView(TeamScopedView):
    """Works an expression or a condition out, as a step would."""

    resource = "pipelines"
    verbs = {"post": "view"}

    @extend_schema(request=_EvaluateIn, responses=FREE)
    def post(self, request: Request) -> Response:
        body = _EvaluateIn(data=request.data)
        body.is_valid(raise_exception=True)
        context = {"now": engine_now(), **body.validated_data["context"]}
        if "expr" in body.validated_data:
            return Response({"value": _value(body.validated_data["expr"], context)})
        return Response(_verdict(body.validated_data["condition"], context))


def _value(source: str, context: dict[str, Any]) -> Any:
    try:
        return plain(compile_expression(source).evaluate(context))
    except ExpressionError as error:
        raise ValidationError({"expr": [str(error)]}) from None


def _verdict(condition: Any, context: dict[str, Any]) -> dict[str, Any]:
    try:
        verdict = compile_condition(condition).evaluate(context)
    except ConditionError as error:
        raise ValidationError({"condition": [str(error)]}) from None
    why = [plain(leaf.as_dict()) for leaf in verdict.why]
    return {"met": verdict.met, "why": why, "error": verdict.error}


class BareEvaluateView(EvaluateView):
    """The same at the address without a slash at its end."""

    schema = None


class _CronIn(serializers.Serializer[Any]):
    """Five fields of cron, a time zone, where to begin and how many."""

    expr = serializers.CharField(max_length=120)
    tz = serializers.CharField(required=False, default="UTC", max_length=64)
    count = serializers.IntegerField(required=False, default=5, min_value=1, max_value=100)

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.DateTimeField(required=False, default=None)}

    def validate_tz(self, value: str) -> str:
        if value not in known_timezones():
            raise ValidationError("Unknown time zone: use a name such as Europe/Berlin.")
        return value

    def validate_expr(self, value: str) -> str:
        if len(value.split()) != 5:
            raise ValidationError("Use five fields: minute, hour, day, month, weekday.")
        return " ".join(value.split())


class CronView(TeamScopedView):
    """The next times of a schedule, right on the two days of the clock change."""

    resource = "pipelines"
    verbs = {"post": "view"}

    @extend_schema(request=_CronIn, responses=FREE)
    def post(self, request: Request) -> Response:
        body = _CronIn(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        zone = ZoneInfo(asked["tz"])
        start = (asked["from"] or timezone.now()).astimezone(zone)
        return Response({"next": [_utc(moment) for moment in _times(asked["expr"], start, asked["count"])]})


def _times(expr: str, start: datetime, count: int) -> list[datetime]:
    try:
        schedule = CronSim(expr, start)
    except CronSimError as error:
        raise ValidationError({"expr": [f"This is not a schedule: {error}."]}) from None
    found: list[datetime] = []
    while len(found) < count:
        try:
            found.append(next(schedule))
        except StopIteration:
            break
    return found


def _utc(moment: datetime) -> str:
    return moment.astimezone(ZoneInfo("UTC")).isoformat().replace("+00:00", "Z")


class BareCronView(CronView):
    """The same at the address without a slash at its end."""

    schema = None
