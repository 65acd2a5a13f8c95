"""`max_per_hour`: at most so many enter by a trigger within sixty minutes, and the others can read why they did not."""

from typing import Any

import pytest

from contacts.models import Contact, Segment
from contacts.operations import bulk_create_contacts
from contacts.segments import add_members
from crm.models import Team
from pipelines.engine.clock import pretend
from pipelines.engine.events import Fact, publish_all
from pipelines.engine.segments.rule import contact_kind
from pipelines.models import EnrollmentDecision, Pipeline, PipelineRun
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run

HOLD = [{"key": "hold", "type": "wait", "delay": "30d"}]


def turned_away(pipeline: Pipeline) -> list[str]:
    rows = EnrollmentDecision.objects.filter(pipeline=pipeline, decision=EnrollmentDecision.Decision.LIMIT)
    return [row.why[0]["error"] for row in rows.order_by("pk")]  # type: ignore[index]


def by(team: Team, kind: str) -> dict[str, Any]:
    Segment.objects.get_or_create(team=team, key="vip", name="VIP")
    found: dict[str, dict[str, Any]] = {"created": {"type": "created", "model": "contacts.contact", "automatic": True},
             "event": {"type": "event", "event": "left"}, "segment": {"type": "segment", "segment": "vip"}}  # fmt: skip
    return {**found[kind], "max_per_hour": 3}


def come(team: Team, kind: str, count: int) -> None:
    made = bulk_create_contacts(team=team, items=[{"first_name": "C"}] * count)
    ids = [contact.pk for contact in made]
    if kind == "event":
        publish_all([Fact(team.pk, "left", contact_kind().content_type_id, pk) for pk in ids])
    if kind == "segment":
        add_members(segment=Segment.objects.get(key="vip"), model=Contact, ids=ids)


@pytest.mark.parametrize("kind", ["created", "event", "segment"])
def test_no_more_enter_than_an_hour_takes_whichever_way_they_come(team: Team, run_at: Run, kind: str) -> None:
    pipeline = active(team, HOLD, triggers=[by(team, kind)])
    for minutes, count, inside in ((0, 2, 2), (30, 2, 3), (59, 1, 3), (61, 4, 5), (200, 9, 8)):
        with pretend(later(minutes=minutes)):
            come(team, kind, count)
        run_at(later(minutes=minutes))
        assert PipelineRun.objects.filter(pipeline=pipeline).count() == inside
    told = turned_away(pipeline)
    assert len(told) == 10 and "3 an hour" in told[0]


def test_others_are_not_held_up_and_who_is_inside_takes_no_place(team: Team, run_at: Run) -> None:
    limited = active(team, HOLD, triggers=[by(team, "event")])
    free = active(team, HOLD, key="free", triggers=[{"type": "event", "event": "left"}])
    contact = Contact.objects.create(team=team, first_name="Ann")
    facts = [Fact(team.pk, "left", contact_kind().content_type_id, contact.pk)]
    publish_all(facts * 5)
    come(team, "event", 4)
    run_at(NOON)
    counts = [PipelineRun.objects.filter(pipeline=each).count() for each in (limited, free)]
    assert counts == [3, 5] and len(turned_away(limited)) == 2
