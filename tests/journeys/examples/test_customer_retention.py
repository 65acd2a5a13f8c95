"""Customer retention: mail on a weekday at nine where the customer lives, then a push; whoever comes back gets neither.

Both of its own triggers see the customer: an event from outside and the hourly search. Each enters once in thirty days.
"""

import pytest

from pipelines.models import PipelineRun
from tests.journeys.examples.stage import DAY, HOUR, Stage


def away(stage: Stage, zone: str) -> int:
    stage.template("we_miss_you", text="{{ user_name }}, last seen {{ last_activity }}")
    stage.loaded("customer_retention")
    seen = {"device_token": "tok", "last_activity": "2027-02-01T10:00:00+00:00"}
    ann = stage.contact(timezone=zone, custom=seen)
    stage.event("user_inactive", ann, days_since_last_activity=28)
    return ann


def outcome(stage: Stage) -> tuple[str, str]:
    return stage.outcome(PipelineRun.objects.get().pk)


@pytest.mark.parametrize(
    ("zone", "minute"),
    [("Europe/Paris", 20 * HOUR), ("America/New_York", 2 * HOUR), ("Asia/Tokyo", 12 * HOUR)],
)
def test_the_mail_comes_at_nine_where_the_customer_lives(stage: Stage, zone: str, minute: int) -> None:
    away(stage, zone)
    assert stage.walk(0, minute) == [
        (minute, "email", "ann@example.org", "We miss you!"), (minute, "push", "tok", "Come back!"),
    ]  # fmt: skip
    assert stage.texts()[0].startswith("Ann, last seen 2027-02-01")
    assert stage.letters() == ["We have something special for you"]
    assert outcome(stage) == ("completed", "end")


def test_nobody_is_mailed_at_the_weekend(stage: Stage) -> None:
    friday_noon = 4 * DAY
    stage.walk(friday_noon)
    away(stage, "Europe/Paris")
    saturday, sunday, monday = (friday_noon + 20 * HOUR + days * DAY for days in range(3))
    assert stage.walk(friday_noon, saturday, sunday) == []
    assert [at for at, *_ in stage.walk(monday)] == [monday, monday]


def test_who_comes_back_in_time_is_left_alone(stage: Stage) -> None:
    ann = away(stage, "Europe/Paris")
    stage.walk(0)
    stage.event("user_login", ann)
    assert stage.walk(HOUR, 20 * HOUR, 3 * DAY) == []
    assert outcome(stage) == ("completed", "came back")


def runs(stage: Stage, contact: int) -> int:
    return len(stage.api.get("pipeline-runs/", contact=contact).json()["results"])


def test_a_week_of_silence_is_too_short_for_the_event_and_thirty_days_for_a_second_one(stage: Stage) -> None:
    ann = away(stage, "Europe/Paris")
    bo = stage.contact("Bo", custom={"last_activity": "2027-02-26T10:00:00+00:00"})
    stage.event("user_inactive", bo, days_since_last_activity=7)
    stage.walk(0, DAY, 2 * DAY)
    assert (runs(stage, ann), runs(stage, bo)) == (1, 0)
    stage.event("user_inactive", ann, days_since_last_activity=30)
    stage.walk(2 * DAY + 1)
    assert runs(stage, ann) == 1
    stage.walk(33 * DAY)
    stage.event("user_inactive", ann, days_since_last_activity=61)
    stage.walk(33 * DAY + 1)
    assert runs(stage, ann) == 2


def test_the_hourly_search_finds_who_was_silent_for_a_week_without_any_event(stage: Stage) -> None:
    stage.template("we_miss_you")
    stage.loaded("customer_retention")
    seen = {"Bo": "2027-02-19T10:00:00+00:00", "Cy": "2027-02-26T10:00:00+00:00"}
    bo, cy = (stage.contact(name, custom={"last_activity": at}) for name, at in seen.items())
    stage.walk(0, HOUR)
    assert (runs(stage, bo), runs(stage, cy)) == (1, 0)
    stage.walk(4 * DAY - 3 * HOUR)
    assert runs(stage, cy) == 0
    stage.walk(4 * DAY)
    assert (runs(stage, bo), runs(stage, cy)) == (1, 1)
