"""Dates that come round every year: those of 29 February do on the 28th where a year has no such day, whoever asks."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from contacts.models import Contact, Segment, SegmentMembership
from contacts.segments import keep_rule
from crm.models import Team
from pipelines.definition.conditions import compile_condition
from pipelines.engine.existing import look_at_existing
from pipelines.engine.segments.rule import rule_of
from pipelines.models import PipelineRun
from pipelines.simulation.scenario import Scenario
from pipelines.simulation.simulate import simulate
from tests.pipelines.engine.building import active, document, email
from tests.pipelines.engine.conftest import Run

TODAY = {"field": "contact.birthday", "operator": "recurs_on", "value": "= now"}
AS_TEXT = "recurs_on(contact.birthday, now)"
BORN = {"leap": "1992-02-29", "before": "1990-02-28", "after": "1990-03-01"}
DAYS: dict[str, tuple[datetime, set[str]]] = {
    "28 February": (datetime(2027, 2, 28, 9, tzinfo=UTC), {"leap", "before"}),
    "1 March": (datetime(2027, 3, 1, 9, tzinfo=UTC), {"after"}),
    "28 February of a leap year": (datetime(2028, 2, 28, 9, tzinfo=UTC), {"before"}),
    "29 February": (datetime(2028, 2, 29, 9, tzinfo=UTC), {"leap"}),
    "28 February of 2100": (datetime(2100, 2, 28, 9, tzinfo=UTC), {"leap", "before"}),
    "another day": (datetime(2027, 4, 12, 9, tzinfo=UTC), set()),
}
days = pytest.mark.parametrize(("now", "whose"), DAYS.values(), ids=DAYS)


@pytest.fixture
def people(team: Team) -> dict[str, int]:
    """Somebody born on each of these days, by its name, and somebody of whom it is not known."""
    Contact.objects.create(team=team, first_name="nobody")
    return {
        name: Contact.objects.create(team=team, first_name=name, email="a@example.org", custom={"birthday": born}).pk
        for name, born in BORN.items()
    }


@days
def test_conditions_segments_triggers_and_simulations_agree(
    team: Team, people: dict[str, int], run_at: Run, now: datetime, whose: set[str]
) -> None:
    wanted = {people[name] for name in whose}
    asked = rule_of(TODAY).contacts(team.pk, now=now)
    assert asked is not None and set(asked.values_list("pk", flat=True)) == wanted
    segment = keep_rule(Segment.objects.create(team=team, key="today", name="Today", where=TODAY), now=now)
    triggers: list[Any] = [{"type": "segment", "where": TODAY, "every": 3600}]
    played = [pk for pk in people.values() if _would_enter(team, pk, triggers, now)]
    assert set(played) == wanted
    pipeline = active(team, [email()], triggers=triggers)
    assert look_at_existing(pipeline.triggers.get(), now=now).total == len(wanted)
    run_at(now)
    assert set(PipelineRun.objects.values_list("subject_id", flat=True)) == wanted
    assert set(SegmentMembership.objects.filter(segment=segment).values_list("subject_id", flat=True)) == wanted


def _would_enter(team: Team, pk: int, triggers: list[Any], now: datetime) -> bool:
    scenario = Scenario(start=now, until=now.replace(hour=23), subject=pk)
    report = simulate(team=team, document=document([email()], triggers=triggers), scenario=scenario)
    return bool(report["status"] != "not_enrolled")


@days
@pytest.mark.parametrize("where", [TODAY, AS_TEXT], ids=["a row", "an expression"])
def test_a_date_may_be_a_text_or_a_date_with_or_without_a_time(now: datetime, whose: set[str], where: Any) -> None:
    condition = compile_condition(where)
    for name, born in BORN.items():
        day = date.fromisoformat(born)
        late = datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC)
        for value in (born, f"{born}T23:59:00-11:00", day, late):
            assert condition.evaluate({"contact": {"birthday": value}, "now": now}).met is (name in whose), value


@pytest.mark.parametrize("value", [None, "", "soon", "02-28", 228, True, ["1990-02-28"]], ids=str)
def test_what_is_no_date_never_comes_round(value: Any) -> None:
    context = {"contact": {"birthday": value}, "now": DAYS["28 February"][0]}
    for where in (TODAY, AS_TEXT):
        verdict = compile_condition(where).evaluate(context)
        assert (verdict.met, verdict.error) == (False, None)


def test_the_day_may_be_ahead() -> None:
    ahead = {**TODAY, "value": "= now + days(7)"}
    context = {"contact": {"birthday": "1992-02-29"}, "now": datetime(2027, 2, 21, tzinfo=UTC)}
    assert compile_condition(ahead).evaluate(context).met
