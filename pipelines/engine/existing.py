"""Who fits the triggers of a pipeline already: how many, who, and taking them in as a firing, a part at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Exists, OuterRef, Q

from contacts.models import SegmentMembership
from pipelines.definition.program import standing_exits
from pipelines.engine.fitting import Wanted, asked_of, fitting
from pipelines.models import Firing, Pipeline, PipelineRun, PipelineVersion, Trigger
from pipelines.subjects import SubjectType, subject_label, subject_named

SLOT: Final = "existing:"
# Where each record must be evaluated, a preview looks at so many.
MOST_LOOKED_AT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Existing:
    """Records that one trigger would take in; `at_least` says that not all were looked at.

    `always` is for segments by a condition: their first look takes in everybody, whether asked to or not.
    """

    trigger: Trigger
    total: int
    at_least: bool
    first: Sequence[Mapping[str, Any]]
    always: bool = False


def takes_existing(trigger: Trigger) -> bool:
    """Whether records that are there already can mean anything to a trigger."""
    return trigger.enabled and trigger.kind in (Trigger.Kind.CREATED, Trigger.Kind.SEGMENT)


def by_itself(trigger: Trigger) -> bool:
    """Whether it takes in who fits as soon as it is active."""
    return trigger.kind == Trigger.Kind.SEGMENT and not trigger.segment


def existing_of(trigger: Trigger, *, now: datetime) -> Wanted | None:
    """The records that a trigger would take in if they were new; None when its pipeline is about none."""
    pipeline = trigger.pipeline
    kind = kind_of(pipeline)
    if kind is None:
        return None
    runs = PipelineRun.objects.entered().filter(
        pipeline=pipeline, subject_type=kind.content_type_id, subject_id=OuterRef("pk")
    )
    also = Q(~Exists(runs))
    if trigger.kind == Trigger.Kind.SEGMENT and trigger.segment:
        also &= Q(Exists(_members(trigger, kind)))
    # As far as they are about the record alone.
    known = {"subject", "now", kind.name, pipeline.subject_alias}
    exits = tuple(rule for rule in standing_exits(_exit_rules(pipeline)) if rule.where.names <= known)
    return Wanted(pipeline.team_id, kind, trigger.where, now, alias=pipeline.subject_alias, also=also, exits=exits)


def _exit_rules(pipeline: Pipeline) -> list[Any]:
    """Those that the door asks: of the version that runs, where a draft may stand beside it."""
    if pipeline.status != Pipeline.Status.ACTIVE or pipeline.current_version_id is None:
        return list(pipeline.exit_rules)
    rows = PipelineVersion.objects.filter(pk=pipeline.current_version_id)
    return list(rows.values_list("document__exit", flat=True).first() or ())


def _members(trigger: Trigger, kind: SubjectType) -> Any:
    return SegmentMembership.objects.filter(
        segment__team=trigger.pipeline.team_id,
        segment__key=trigger.segment,
        subject_type=kind.content_type_id,
        subject_id=OuterRef("pk"),
    )


def kind_of(pipeline: Pipeline) -> SubjectType | None:
    """The kind of record a pipeline is about."""
    if pipeline.subject_type_id is None:
        return None
    return subject_named(subject_label(pipeline.subject_type_id, pipeline.subject_record))


def look_at_existing(trigger: Trigger, *, now: datetime, shown: int = 5) -> Existing:
    """How many fit, and the first of them: two statements where the database can be asked, else up to five more."""
    wanted = existing_of(trigger, now=now)
    always = by_itself(trigger)
    if wanted is None:
        return Existing(trigger, 0, False, (), always)
    rows = asked_of(wanted)
    if rows is not None:
        first = [wanted.kind.shaped(row) for row in rows.order_by("-pk")[:shown]]
        return Existing(trigger, rows.count(), False, first, always)
    found: list[Mapping[str, Any]] = []
    looked_at, after = 0, 0
    while looked_at < MOST_LOOKED_AT:
        part = fitting(wanted, after=after)
        looked_at += part.looked_at
        found += part.records.values()
        if part.after is None:
            return Existing(trigger, len(found), False, found[-shown:][::-1], always)
        after = part.after
    return Existing(trigger, len(found), True, found[-shown:][::-1], always)


def is_of_existing(firing: Firing) -> bool:
    """Whether a firing takes in who was there before."""
    return firing.slot.startswith(SLOT)
