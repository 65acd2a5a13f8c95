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
