"""Who is in which segment: memberships are added and taken away in batches, each once."""

from collections.abc import Collection
from datetime import datetime

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, QuerySet
from django.utils import timezone

from contacts.models import Segment, SegmentMembership


def add_members(
    *,
    segment: Segment,
    model: type[Model],
    ids: Collection[int],
    now: datetime | None = None,
    run_id: int | None = None,
) -> int:
    """Put these records of the team into a segment; how many were not in it before. Two statements."""
    kind = ContentType.objects.get_for_model(model)
    known = set(members(segment=segment, model=model).filter(subject_id__in=ids).values_list("subject_id", flat=True))
    rows = [
        SegmentMembership(
            segment=segment, subject_type=kind, subject_id=pk, added_at=now or timezone.now(), run_id=run_id
        )
        for pk in dict.fromkeys(ids)
        if pk not in known
    ]
    SegmentMembership.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)
    return len(rows)


def remove_members(*, segment: Segment, model: type[Model], ids: Collection[int]) -> int:
    """Take records out of a segment; how many were in it."""
    return members(segment=segment, model=model).filter(subject_id__in=ids).delete()[0]


def members(*, segment: Segment, model: type[Model]) -> QuerySet[SegmentMembership]:
    """The memberships of records of one kind."""
    return SegmentMembership.objects.filter(segment=segment, subject_type=ContentType.objects.get_for_model(model))
