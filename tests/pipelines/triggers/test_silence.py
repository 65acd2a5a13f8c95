"""Nothing heard of a contact for long enough is an event, once for each silence."""

from datetime import datetime, timedelta
from typing import Any

from contacts.models import Contact
from contacts.operations import add_note
from crm.models import Team
from pipelines.engine.clock import set_test_clock
from pipelines.engine.events import Fact, publish_all
from pipelines.engine.segments.rule import contact_kind
from pipelines.engine.silence import BATCH
from pipelines.models import Event, Pipeline, PipelineRun, Trigger
from pipelines.operations import validate_document
from tests.pipelines.engine.building import NOON, active, document, later
from tests.pipelines.engine.conftest import Run

HOLD = [{"key": "hold", "type": "wait", "delay": "1h"}]
SILENT = {"type": "event", "event": "contact_inactive", "silence": "30d"}


def listening(team: Team, *, since: datetime = NOON, **more: Any) -> Pipeline:
    pipeline = active(team, HOLD, triggers=[{**SILENT, **more}])
    Trigger.objects.filter(pipeline=pipeline).update(armed_at=since)
    return pipeline


def heard_of(team: Team, name: str, at: datetime) -> Contact:
    return Contact.objects.create(team=team, first_name=name, last_interaction=at)


def happened(contact: Contact, type_: str, at: datetime) -> None:
    set_test_clock(at)
    publish_all([Fact(contact.team_id, type_, contact_kind().content_type_id, contact.pk)])


def silences(contact: Contact) -> int:
    return Event.objects.filter(type="contact_inactive", subject_id=contact.pk).count()


def test_a_silence_is_told_once_and_the_next_one_again(team: Team, run_at: Run) -> None:
    pipeline = listening(team)
    ann, old = heard_of(team, "Ann", later(days=-10)), heard_of(team, "Old", later(days=-40))
    for day in (0, 19, 20, 21, 40):
        run_at(later(days=day, minutes=10))
        assert silences(ann) == (day >= 20)
    assert PipelineRun.objects.get(pipeline=pipeline).context.trigger["days"] == 30
    add_note(subject=ann, team=team, text="We spoke.", kind="call", at=later(days=41))
    run_at(later(days=70))
    assert silences(ann) == 1
    run_at(later(days=71, minutes=10))
    assert (silences(ann), silences(old)) == (2, 0)
    assert PipelineRun.objects.filter(pipeline=pipeline, subject_id=ann.pk).count() == 2


def test_what_a_contact_does_is_a_sign_of_life_and_what_is_sent_is_none(team: Team, run_at: Run) -> None:
    bob, ann = heard_of(team, "Bob", NOON), heard_of(team, "Ann", NOON)
    happened(ann, "page.seen", later(days=5))
    run_at(later(days=5))
    listening(team, since=later(days=6))
    happened(bob, "email_sent", later(days=20))
    happened(ann, "login", later(days=20))
    run_at(later(days=20))
    run_at(later(days=31))
    assert (silences(bob), silences(ann)) == (1, 0)
    run_at(later(days=49))
    run_at(later(days=50, minutes=10))
    assert (silences(bob), silences(ann)) == (1, 1)


def test_each_trigger_hears_its_own_span_and_teams_their_own_contacts(team: Team, run_at: Run) -> None:
    listening(team)
    other = Team.objects.create(name="Other", slug="other")
    week = active(other, HOLD, triggers=[{**SILENT, "silence": "7d"}])
    month = active(other, HOLD, key="month", triggers=[SILENT])
    Trigger.objects.update(armed_at=NOON)
    heard_of(other, "Ann", NOON)
    run_at(later(days=8))
    assert [PipelineRun.objects.filter(pipeline=each).count() for each in (week, month)] == [1, 0]
    run_at(later(days=31))
    assert [PipelineRun.objects.filter(pipeline=each).count() for each in (week, month)] == [1, 1]


def test_many_who_fell_silent_at_the_same_moment_are_told_in_batches(team: Team, run_at: Run) -> None:
    listening(team)
    Contact.objects.bulk_create(Contact(team=team, last_interaction=NOON) for _ in range(BATCH + 3))
    run_at(later(days=30) - timedelta(seconds=1))
    assert not Event.objects.exists()
    run_at(later(days=30, minutes=6))
    assert Event.objects.filter(type="contact_inactive").count() == BATCH + 3


def test_a_trigger_on_silence_says_how_long(team: Team) -> None:
    def paths(trigger: dict[str, Any]) -> list[str]:
        found = validate_document(document(HOLD, triggers=[trigger]), team)
        return [problem.path for problem in found if problem.severity == "error"]

    assert paths({"type": "event", "event": "contact_inactive"}) == ["triggers[0].silence"]
    assert paths({"type": "event", "event": "left", "silence": "3d"}) == ["triggers[0].silence"]
    assert paths(SILENT) == []
