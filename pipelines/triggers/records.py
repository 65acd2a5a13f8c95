"""What contacts ask of pipelines through the registries of `contacts` and the signals of `crm`."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db.models import Count, Model

from contacts import hooks, merging, panels, timeline
from contacts.models import Contact, Record
from crm.models import Message, Team
from crm.signals import message_decided
from pipelines.engine.automatic import enroll_created, leave_out
from pipelines.engine.controls import send_again
from pipelines.engine.enroll import NotEnrollable, enroll
from pipelines.engine.kick import kick
from pipelines.engine.manual import live_pipelines, rehome_runs, sync_manual_runs
from pipelines.engine.segments.telling import tell_of_members
from pipelines.models import Pipeline, PipelineRun
from pipelines.operations.segment_types import TypedRules
from pipelines.subjects import OWN, SubjectType, among, subject_named, subject_types
from pipelines.triggers.announcing import tell_of_new
from pipelines.triggers.panels import count_runs, run_entries, runs_panel


def connect() -> None:
    """Register everything; called once when the apps are ready."""
    hooks.after_bulk_create.register(enroll_bulk)
    hooks.after_quiet_create.register(leave_out_bulk)
    hooks.manual_pipelines.register(ManualPipelines())
    hooks.segment_rules.register(TypedRules())
    hooks.after_membership.register(tell_of_members)
    hooks.wake_workers.register(kick)
    merging.register(move_runs)
    merging.counters.register(count_runs)
    panels.register(runs_panel)
    timeline.register(run_entries)
    message_decided.connect(on_message_decided, dispatch_uid="pipelines:message-decided")


def enroll_bulk(model: type[Model], ids: Sequence[int], team: Team, /) -> int:
    """Records created in bulk, which no signal announces, enter like any others; the number of runs."""
    groups = _by_kind(model, ids)
    for kind, some in groups:
        tell_of_new(kind=kind, ids=some, team_id=team.pk)
    return sum(len(enroll_created(kind=kind, ids=some, team_id=team.pk).enrolled) for kind, some in groups)


def leave_out_bulk(model: type[Model], ids: Sequence[int], team: Team, /) -> int:
    """Records that were imported quietly stay out of automatic pipelines for good."""
    for kind, some in _by_kind(model, ids):
        leave_out(kind=kind, ids=some, team_id=team.pk)
    return 0


def _by_kind(model: type[Model], ids: Sequence[int]) -> list[tuple[SubjectType, Sequence[int]]]:
    """The records by what pipelines call them: own types share one table."""
    if model is not Record:
        kind = subject_types().get(model._meta.label_lower)
        return [(kind, ids)] if kind is not None else []
    groups: dict[str, list[int]] = {}
    for pk, key in Record.objects.filter(pk__in=among(ids)).order_by("pk").values_list("pk", "type__key"):
        groups.setdefault(key, []).append(pk)
    named = ((subject_named(f"{OWN}{key}"), some) for key, some in groups.items())
    return [(kind, some) for kind, some in named if kind is not None]


def move_runs(keep: Contact, others: Sequence[Contact], /) -> None:
    """Runs of merged contacts go on for the one that stays."""
    rehome_runs(keep=keep, others=others)


class ManualPipelines:
    """The pipelines a person may choose on a record's form."""

    def choices(self, team: Team, model: type[Model], record_type: str = "") -> Sequence[tuple[str, str, int]]:
        """Pipelines of the team about this kind of record, by name; paused ones hold who is in, but take nobody."""
        rows = Pipeline.objects.for_team(team).filter(
            status__in=[Pipeline.Status.ACTIVE, Pipeline.Status.PAUSED],
            subject_type__app_label=model._meta.app_label,
            subject_type__model=model._meta.model_name,
            subject_record=record_type,
        )
        return [(row.key, _words(row), row.pk) for row in rows.order_by("name")]

    def current(self, subject: Model) -> Sequence[int]:
        return live_pipelines(subject)

    def sync(self, subject: Any, pipelines: Sequence[int], by: User | None) -> Mapping[int, str]:
        """Add the new ones, keep the running, end the rest."""
        rows = Pipeline.objects.for_team(subject.team).filter(pk__in=pipelines)
        return sync_manual_runs(subject=subject, pipelines=list(rows), by=by).refused

    def entered(self, team: Team, model: type[Model], ids: Sequence[int]) -> Sequence[tuple[str, str, int]]:
        """Runs by pipeline of records that were just created; one statement."""
        kind = ContentType.objects.get_for_model(model)
        runs = PipelineRun.objects.filter(subject_type=kind, subject_id__in=among(ids), parent=None)
        named = runs.values_list("pipeline__name", "pipeline__key")
        return list(named.annotate(runs=Count("pk")).order_by("pipeline__name", "pipeline__key"))

    def enroll(self, team: Team, model: type[Model], pipeline: int, ids: Sequence[int], by: User | None) -> int:
        """Put records in as one batch; those who cannot enter are left out."""
        row = Pipeline.objects.for_team(team).filter(pk=pipeline).first()
        if row is None:
            raise ValidationError("There is no such pipeline.")
        try:
            return len(enroll(pipeline=row, subject_ids=ids, by=by).enrolled)
        except NotEnrollable as error:
            raise ValidationError(str(error)) from None


def _words(pipeline: Pipeline) -> str:
    return pipeline.name if pipeline.status == Pipeline.Status.ACTIVE else f"{pipeline.name} (paused)"


def on_message_decided(*, message: Message, decision: Literal["accept", "resend"], **_: Any) -> None:
    """A person settled an uncertain message: send it again, or let it be."""
    if decision == "resend":
        send_again(message=message)
