"""Who listens to events: whether anybody does, as SQL for statements that run anyway, and which runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, Value, When

from crm.models import Team
from pipelines.engine.ending import with_descendants
from pipelines.engine.rules import UPDATED, Rules, rules_of
from pipelines.models import Event, EventWait, Pipeline, PipelineRun, PipelineVersion, Trigger, Webhook
from pipelines.subjects import among

STAGE_CHANGED = "stage_changed"
ABOUT_CHANGES = (UPDATED, STAGE_CHANGED)


@dataclass(slots=True)
class Listening:
    """Runs whose version listens to some of these events, and those events by run."""

    rules: dict[int, Rules] = field(default_factory=dict)
    events: dict[int, list[Event]] = field(default_factory=dict)
    run_ids: set[int] = field(default_factory=set)


def someone_listens(team: str) -> Case:
    """SQL that is true when a change of some record of the team named by this column may matter to somebody."""
    ruled = Pipeline.objects.filter(~Q(exit_rules=[]) | ~Q(goals=[]), team_id=OuterRef(team))
    waits = EventWait.objects.filter(event__in=ABOUT_CHANGES, status=EventWait.Status.OPEN, team_id=OuterRef(team))
    live = ruled.filter(status__in=[Pipeline.Status.ACTIVE, Pipeline.Status.PAUSED])
    told = Webhook.objects.filter(enabled=True, team_id=OuterRef(team))
    begun = triggers_on_changes().filter(pipeline__team_id=OuterRef(team))
    return Case(
        When(Exists(waits) | Exists(live) | Exists(begun) | Exists(told), then=Value(True)), default=Value(False)
    )


def triggers_on_changes() -> QuerySet[Trigger]:
    """Open triggers that a change of a record may fire."""
    told = Q(kind=Trigger.Kind.UPDATED) | Q(kind=Trigger.Kind.EVENT, event__in=ABOUT_CHANGES)
    return Trigger.objects.filter(told, enabled=True, pipeline__status=Pipeline.Status.ACTIVE)


def anybody_listens(*, team_id: int) -> bool:
    """Whether a change of some record of a team may matter to somebody: one statement."""
    row = Team.objects.filter(pk=team_id).values_list(someone_listens("pk")).first()
    return row is not None and bool(row[0])


def listeners_of(events: Sequence[Event]) -> Listening:
    """Root runs of the records that these events are about, where their version has a rule for one: two statements."""
    by_subject: dict[tuple[int | None, int | None], list[Event]] = {}
    for event in events:
        if event.subject_id is not None:
            by_subject.setdefault((event.subject_type_id, event.subject_id), []).append(event)
    found = Listening()
    if not by_subject:
        return found
    rows = PipelineRun.objects.filter(
        Q(finished_at=None) | ~Q(pipeline__goals=[]),
        ~Q(pipeline__exit_rules=[]) | ~Q(pipeline__goals=[]),
        subject_id__in=among({subject_id for _, subject_id in by_subject if subject_id is not None}),
        subject_type_id__in={type_id for type_id, _ in by_subject},
        parent=None,
    ).values_list(
        "pk", "subject_type_id", "subject_id", "version_id", "pipeline__current_version_id",
        "pipeline__current_version__runs_policy", "pipeline__team_id", "finished_at",
    )  # fmt: skip
    listed = list(rows)
    rules = rules_of({_version(row) for row in listed})
    for row in listed:
        mine = rules[_version(row)]
        heard = [
            event
            for event in by_subject.get((row[1], row[2]), ())
            if event.team_id == row[6] and event.type in mine.events
        ]
        if heard and (row[7] is None or any(goal.within for goal in mine.goals)):
            found.rules[row[0]], found.events[row[0]] = mine, heard
    found.run_ids = set(with_descendants(list(found.events))) if found.events else set()
    return found


def _version(row: Sequence[Any]) -> int:
    follows = row[4] is not None and row[5] != PipelineVersion.RunsPolicy.PIN
    return int(row[4] if follows else row[3])
