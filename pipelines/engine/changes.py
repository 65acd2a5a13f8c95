"""Changes of records are announced only when somebody listens; otherwise nothing is written."""

from collections.abc import Collection, Sequence
from datetime import datetime

from pipelines.engine.events import Fact, publish_all
from pipelines.engine.listening import listeners_of
from pipelines.engine.rules import UPDATED
from pipelines.models import Event, EventWait

Subject = tuple[int, int]


def announce(
    *, team_id: int, subjects: Collection[Subject], fields: Sequence[str] = (), now: datetime | None = None
) -> int:
    """Store an `updated` event for each of these changed records that a wait or a rule listens to."""
    waited_for = _waited_for(team_id, subjects)
    heard = {subject for subject in subjects if subject in waited_for}
    heard |= _ruled(team_id, [subject for subject in subjects if subject not in heard])
    facts = [Fact(team_id, UPDATED, type_id, pk, {"fields": sorted(fields)}) for type_id, pk in sorted(heard)]
    return publish_all(facts, now=now) if facts else 0


def _waited_for(team_id: int, subjects: Collection[Subject]) -> set[tuple[int | None, int | None]]:
    rows = EventWait.objects.filter(
        team_id=team_id, event=UPDATED, status=EventWait.Status.OPEN, subject_id__in={pk for _, pk in subjects}
    )
    return set(rows.values_list("subject_type_id", "subject_id"))


def _ruled(team_id: int, subjects: Sequence[Subject]) -> set[Subject]:
    """Those in a pipeline whose rules look at changes."""
    asked = [Event(team_id=team_id, type=UPDATED, subject_type_id=type_id, subject_id=pk) for type_id, pk in subjects]
    found = listeners_of(asked).events
    return {
        (event.subject_type_id, event.subject_id)
        for events in found.values()
        for event in events
        if event.subject_type_id is not None and event.subject_id is not None
    }
