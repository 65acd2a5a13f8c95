"""When a step is due, over days, zones and the hours that clocks skip or repeat."""

import datetime as dt
import random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.definition.delays import SKIPPED, DelayError, parse_delay

START = dt.datetime(2026, 3, 2, 8, 0, tzinfo=dt.UTC)
PREVIOUS = dt.datetime(2026, 3, 6, 15, 30, tzinfo=dt.UTC)  # a Friday
WEEKDAYS = ["mon", "tue", "wed", "thu", "fri"]
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]


def due(delay: object, *, zone: str = "UTC", previous: dt.datetime = PREVIOUS, **context: Any) -> Any:
    found = parse_delay(delay).due_at(previous=previous, start=START, timezone_name=zone, context=context)
    return found.isoformat() if isinstance(found, dt.datetime) else found


@pytest.mark.parametrize(
    ("delay", "moment"),
    [
        (None, "2026-03-06T15:30:00+00:00"),
        (0, "2026-03-06T15:30:00+00:00"),
        (90, "2026-03-06T15:31:30+00:00"),
        ("3d", "2026-03-09T15:30:00+00:00"),
        ("PT4H", "2026-03-06T19:30:00+00:00"),
        ("{{ wait }}", "2026-03-06T16:30:00+00:00"),
        ({"for": "= wait * 2"}, "2026-03-06T17:30:00+00:00"),
        ({"for": "7d", "from": "start"}, "2026-03-09T08:00:00+00:00"),
        ({"for": 600, "from": "start"}, "2026-03-06T15:30:00+00:00"),
        ({"until": "2026-03-20"}, "2026-03-20T00:00:00+00:00"),
        ({"until": "{{ demo }}", "for": 86_400}, "2026-03-21T10:00:00+00:00"),
        ({"until": "2026-03-01"}, "2026-03-06T15:30:00+00:00"),
        ({"at": "09:00"}, "2026-03-07T09:00:00+00:00"),
        ({"at": "15:30"}, "2026-03-06T15:30:00+00:00"),
        ({"at": "18:00"}, "2026-03-06T18:00:00+00:00"),
        ({"at": "09:00", "days": WEEKDAYS}, "2026-03-09T09:00:00+00:00"),
        ({"for": "1d", "days": WEEKDAYS}, "2026-03-09T15:30:00+00:00"),
        ({"days": ["fri"]}, "2026-03-06T15:30:00+00:00"),
        ({"days": ["thu"]}, "2026-03-12T15:30:00+00:00"),
    ],
    ids=str,
)
def test_a_step_is_due(delay: object, moment: str) -> None:
    assert due(delay, wait=3_600, demo="2026-03-20T10:00:00Z") == moment


def test_a_passed_time_can_be_skipped() -> None:
    rule = {"until": "{{ demo }}", "if_past": "skip"}

    assert due(rule, demo="2026-03-01") is SKIPPED
    assert due(rule, demo="2026-03-08") == "2026-03-08T00:00:00+00:00"


@pytest.mark.parametrize(
    ("rule", "zone", "previous", "moment"),
    [
        ({"at": "02:30"}, "Europe/Berlin", "2026-03-28T12:00+00:00", "2026-03-29T01:00:00+00:00"),
        (
            {"at": "02:30"},
            "America/New_York",
            "2026-03-07T12:00+00:00",
            "2026-03-08T07:00:00+00:00",
        ),
        (
            {"at": "02:10"},
            "Australia/Lord_Howe",
            "2026-10-03T00:00+00:00",
            "2026-10-03T15:30:00+00:00",
        ),
        ({"at": "02:30"}, "Europe/Berlin", "2026-10-24T12:00+00:00", "2026-10-25T00:30:00+00:00"),
        (
            {"at": "01:30"},
            "America/New_York",
            "2026-10-31T12:00+00:00",
            "2026-11-01T05:30:00+00:00",
        ),
        (
            {"at": "01:45"},
            "Australia/Lord_Howe",
            "2026-04-04T00:00+00:00",
            "2026-04-04T14:45:00+00:00",
        ),
        ({"at": "02:30"}, "Europe/Berlin", "2026-10-25T00:40+00:00", "2026-10-26T01:30:00+00:00"),
        ({"at": "09:00"}, "Pacific/Apia", "2011-12-29T20:00+00:00", "2011-12-30T10:00:00+00:00"),
        (
            {"until": "2026-03-29T02:30"},
            "Europe/Berlin",
            "2026-03-01T00:00+00:00",
            "2026-03-29T01:00:00+00:00",
        ),
    ],
    ids=[
        "skipped hour in Berlin",
        "skipped hour in New York",
        "skipped half hour on Lord Howe",
        "repeated hour in Berlin",
        "repeated hour in New York",
        "repeated half hour on Lord Howe",
        "after the first of a repeated hour",
        "a day that never was",
        "a local date in the skipped hour",
    ],
)
def test_clock_changes(rule: object, zone: str, previous: str, moment: str) -> None:
    assert due(rule, zone=zone, previous=dt.datetime.fromisoformat(previous)) == moment


def test_the_zone_is_that_of_the_subject_the_team_or_the_rule() -> None:
    people: dict[str, Any] = {
        "subject": {"timezone": "Asia/Tokyo"},
        "team": {"timezone": "Europe/Paris"},
    }

    assert due({"at": "09:00", "tz": "subject"}, **people) == "2026-03-07T00:00:00+00:00"
    assert due({"at": "09:00", "tz": "team"}, **people) == "2026-03-07T08:00:00+00:00"
    assert due({"at": "09:00", "tz": "America/New_York"}, **people) == "2026-03-07T14:00:00+00:00"
    assert due({"at": "09:00"}, zone="Asia/Tokyo") == "2026-03-07T00:00:00+00:00"


@pytest.mark.parametrize("timezone", [None, "", "Nowhere/City", "../etc/passwd", 5])
def test_a_subject_without_a_usable_zone_has_the_usual_one(timezone: object) -> None:
    subject = {"timezone": timezone}

    found = due({"at": "09:00", "tz": "subject"}, zone="Europe/Paris", subject=subject)

    assert found == "2026-03-07T08:00:00+00:00"


def test_jitter_comes_from_the_given_chance_alone() -> None:
    delay = parse_delay({"for": 60, "jitter": "10m"})

    def once(seed: int | None) -> Any:
        rng = None if seed is None else random.Random(seed)
        return delay.due_at(previous=PREVIOUS, start=START, rng=rng)

    assert once(None) == PREVIOUS + dt.timedelta(seconds=60)
    assert once(1) == once(1) != once(2)
    assert dt.timedelta(seconds=60) <= once(3) - PREVIOUS <= dt.timedelta(seconds=660)


@pytest.mark.parametrize(
    ("delay", "path"),
    [
        (-1, ""),
        ("soon", ""),
        ([], ""),
        (True, ""),
        ({"for": "soon"}, "for"),
        ({"until": "someday"}, "until"),
        ({"until": 5}, "until"),
        ({"until": "{{ x | bogus }}"}, "until"),
        ({"from": "end"}, "from"),
        ({"at": "24:00"}, "at"),
        ({"at": "9:00"}, "at"),
        ({"days": ["monday"]}, "days"),
        ({"tz": "Nowhere/City"}, "tz"),
        ({"jitter": -1}, "jitter"),
        ({"if_past": "never"}, "if_past"),
        ({"after": 5}, "after"),
    ],
    ids=str,
)
def test_a_wrong_delay_is_refused_with_its_path(delay: object, path: str) -> None:
    with pytest.raises(DelayError) as caught:
        parse_delay(delay)

    assert caught.value.path == path


@pytest.mark.parametrize(
    ("delay", "context"),
    [
        ("{{ wait }}", {}),
        ("{{ wait }}", {"wait": "soon"}),
        ({"until": "{{ demo }}"}, {}),
        ({"until": "{{ demo }}"}, {"demo": "someday"}),
        ({"until": "{{ demo }}", "for": "90w"}, {"demo": "9999-12-31"}),
    ],
    ids=str,
)
def test_a_delay_that_cannot_be_worked_out_says_so(delay: object, context: dict[str, Any]) -> None:
    with pytest.raises(DelayError):
        due(delay, **context)


@pytest.mark.parametrize(
    ("delay", "words"),
    [
        (0, "immediately"),
        (259_200, "3 days after the previous step"),
        ({"for": 600, "from": "start"}, "10 minutes after the start of the run"),
        ({"until": "{{ demo_date }}", "for": "1d"}, "1 day after demo_date"),
        (
            {"at": "09:00", "days": WEEKDAYS, "tz": "subject"},
            "on weekdays at 09:00 in the contact's time zone",
        ),
        (
            {"for": 60, "days": ["sat"], "if_past": "skip"},
            "1 minute after the previous step, then on Saturday, skipped if that has passed",
        ),
    ],
    ids=str,
)
def test_a_delay_is_said_in_words(delay: object, words: str) -> None:
    assert parse_delay(delay).describe() == words


@pytest.mark.parametrize(
    ("delay", "plain", "zero"),
    [
        (0, True, True),
        (5, True, False),
        ("{{ x }}", False, False),
        ({"for": 0, "from": "start"}, False, False),
        ({"for": 5, "jitter": 0}, True, False),
        ({"at": "09:00"}, False, False),
        ({"until": "2026-01-01"}, False, False),
    ],
    ids=str,
)
def test_plain_waits_are_known_as_such(delay: object, plain: bool, zero: bool) -> None:
    found = parse_delay(delay)

    assert (found.is_plain_seconds, found.is_zero) == (plain, zero)


CLOCK_CHANGES = [
    dt.datetime(2026, 3, 29),
    dt.datetime(2026, 10, 25),
    dt.datetime(2026, 3, 8),
    dt.datetime(2026, 11, 1),
    dt.datetime(2026, 4, 4),
    dt.datetime(2026, 10, 3),
    dt.datetime(2011, 12, 30),
]
MOMENTS = st.datetimes(dt.datetime(2009, 1, 1), dt.datetime(2030, 1, 1)) | st.builds(
    lambda day, minutes: day + dt.timedelta(minutes=minutes),
    st.sampled_from(CLOCK_CHANGES),
    st.integers(-2_880, 2_880),
)


@given(
    zone=st.sampled_from(ZONES),
    moment=MOMENTS,
    seconds=st.sampled_from([0, 60, 3_600]) | st.integers(0, 10**6),
    minutes=st.none() | st.integers(0, 1_439),
    days=st.lists(st.sampled_from([*WEEKDAYS, "sat", "sun"]), unique=True),
)
def test_a_due_time_is_never_early_and_always_on_an_allowed_day(
    zone: str, moment: dt.datetime, seconds: int, minutes: int | None, days: list[str]
) -> None:
    previous = moment.replace(tzinfo=dt.UTC)
    rule: dict[str, Any] = {"for": seconds, "days": days}
    if minutes is not None:
        rule["at"] = f"{minutes // 60:02}:{minutes % 60:02}"

    found = parse_delay(rule).due_at(previous=previous, start=previous, timezone_name=zone)

    assert isinstance(found, dt.datetime)
    earliest = previous + dt.timedelta(seconds=seconds)
    assert earliest <= found <= earliest + dt.timedelta(days=15)
    local = found.astimezone(ZoneInfo(zone))
    assert not days or local.strftime("%a").lower() in days
    wall = local.strftime("%H:%M")
    assert minutes is None or wall == rule["at"] or _is_just_after_a_gap(local)


def _is_just_after_a_gap(local: dt.datetime) -> bool:
    before = (local.astimezone(dt.UTC) - dt.timedelta(minutes=1)).astimezone(local.tzinfo)
    return before.utcoffset() != local.utcoffset()
