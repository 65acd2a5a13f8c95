"""Send hours, quiet hours and holidays: the first moment at which a message may leave, in every zone."""

import datetime as dt
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.definition.windows import Opening, WindowError, next_allowed, parse_holidays, parse_window

UTC = dt.UTC
MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)
ZONES = sorted(available_timezones())
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def opening(raw: Any, zone: str, *holidays: str) -> tuple[Opening, ...]:
    window = parse_window(raw)
    return window.openings(whose="the team", subject_zone=zone, team_zone=zone, holidays=parse_holidays(list(holidays)))


def at(text: str, zone: str = "UTC", *, fold: int = 0) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def jumps(zone: ZoneInfo, year: int) -> Iterator[dt.datetime]:
    """The moments of a year at which the clock of a zone is set forward or back."""
    begin = dt.datetime(year, 1, 1, tzinfo=UTC)
    for day in range(366):
        low, high = begin + day * DAY, begin + (day + 1) * DAY
        if low.astimezone(zone).utcoffset() == high.astimezone(zone).utcoffset():
            continue
        while high - low > dt.timedelta(seconds=1):
            middle = low + dt.timedelta(seconds=(high - low) // dt.timedelta(seconds=2))
            same = middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset()
            low, high = (middle, high) if same else (low, middle)
        yield high


@pytest.mark.parametrize(
    ("raw", "now", "then"),
    [
        pytest.param({"hours": "09:00-17:00"}, "2026-06-01 12:00", "2026-06-01 12:00", id="open"),
        pytest.param({"hours": "09:00-17:00"}, "2026-06-01 17:00", "2026-06-02 09:00", id="the end is closed"),
        pytest.param({"days": DAYS[:5], "hours": "09:00-17:00"}, "2026-06-05 18:00", "2026-06-08 09:00", id="weekend"),
        pytest.param({"hours": {"mon": "09:00-10:00", "wed": "14:00-15:00"}}, "2026-06-01 10:00",
                     "2026-06-03 14:00", id="hours of each day"),
        pytest.param({"hours": ["09:00-12:00", "13:00-17:00"]}, "2026-06-01 12:30", "2026-06-01 13:00", id="lunch"),
        pytest.param({"quiet": "21:00-08:00"}, "2026-06-01 23:30", "2026-06-02 08:00", id="night"),
        pytest.param({"quiet": "21:00-08:00"}, "2026-06-02 07:59", "2026-06-02 08:00", id="early"),
        pytest.param({"quiet": "13:00-14:00"}, "2026-06-02 13:00", "2026-06-02 14:00", id="siesta"),
        pytest.param({"hours": "22:00-02:00"}, "2026-06-02 01:00", "2026-06-02 01:00", id="hours over midnight"),
        pytest.param({"hours": "00:00-24:00"}, "2026-06-02 23:59", "2026-06-02 23:59", id="the whole day"),
    ],
)  # fmt: skip
def test_a_message_waits_until_its_hours_are_open(raw: Any, now: str, then: str) -> None:
    assert next_allowed(at(now), opening(raw, "UTC")).at == at(then)


def test_holidays_are_closed_by_date_and_every_year_and_say_their_name() -> None:
    openings = opening({"hours": "09:00-17:00"}, "Europe/Berlin", "2026-12-24 Eve", "12-25 Christmas", "12-26")
    allowed = next_allowed(at("2026-12-24 10:00", "Europe/Berlin"), openings)
    assert (allowed.at, allowed.rule) == (at("2026-12-27 09:00", "Europe/Berlin"), "holiday: Eve")
    assert next_allowed(at("2031-12-25 10:00", "Europe/Berlin"), openings).rule == "holiday: Christmas"


def test_a_rule_may_send_on_holidays() -> None:
    openings = opening({"hours": "09:00-17:00", "holidays": "send"}, "UTC", "12-25")
    assert next_allowed(at("2026-12-25 10:00"), openings).at == at("2026-12-25 10:00")


def test_all_rules_hold_at_once_each_in_its_zone() -> None:
    both = opening({"hours": "09:00-17:00"}, "Europe/Berlin") + opening({"hours": "09:00-17:00"}, "America/New_York")
    allowed = next_allowed(at("2026-06-01 07:00"), both)
    assert allowed.at == at("2026-06-01 13:00")
    assert allowed.rule == "send hours of the team (09:00-17:00, America/New_York)"


def test_what_never_opens_is_never_allowed() -> None:
    never = opening({"hours": "09:00-10:00"}, "UTC") + opening({"hours": "11:00-12:00"}, "UTC")
    assert next_allowed(at("2026-06-01 09:00"), never).at is None


def test_the_zone_is_that_of_the_contact_else_of_the_team() -> None:
    window = parse_window({"hours": "09:00-17:00", "tz": "subject"})
    zones = [
        window.openings(whose="x", subject_zone=zone, team_zone="Europe/Paris")[0].zone.key
        for zone in ("Asia/Tokyo", "", "Not/AZone")
    ]
    assert zones == ["Asia/Tokyo", "Europe/Paris", "Europe/Paris"]


def test_in_every_zone_a_window_that_begins_in_a_gap_opens_as_the_clock_is_set_forward() -> None:
    """And one in the hour that comes twice is open both times."""
    gaps = overlaps = 0
    for name in ZONES:
        zone = ZoneInfo(name)
        for jump in jumps(zone, 2026):
            before, after = jump - MINUTE, jump
            change = after.astimezone(zone).utcoffset() - before.astimezone(zone).utcoffset()  # type: ignore[operator]
            wall = (before.astimezone(zone) + MINUTE).replace(tzinfo=None)
            if wall.date() != after.astimezone(zone).date():
                continue
            if change > dt.timedelta(0):
                gaps += 1
                inside = (wall + change / 2).replace(second=0)
                last = (wall + change + 10 * MINUTE).time()
                raw = {"hours": f"{inside:%H:%M}-{last:%H:%M}"}
                assert next_allowed(before - 10 * MINUTE, opening(raw, name)).at == jump, name
            else:
                overlaps += 1
                back = after.astimezone(zone)
                raw = {"hours": f"{back:%H:%M}-{back + 5 * MINUTE:%H:%M}"}
                first = next_allowed(jump + change - 10 * MINUTE, opening(raw, name)).at
                assert first == jump + change, name
                assert next_allowed(jump - MINUTE, opening(raw, name)).at == jump, name
    assert gaps > 100
    assert overlaps > 100


_clock = st.integers(0, 24 * 4 - 1)
_hours = st.tuples(_clock, _clock).filter(lambda pair: pair[0] != pair[1])


def _text(pair: tuple[int, int]) -> str:
    first, last = (f"{quarter // 4:02}:{quarter % 4 * 15:02}" for quarter in pair)
    return f"{first}-{last}"


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    raw: dict[str, Any] = {"hours": [_text(pair) for pair in draw(st.lists(_hours, min_size=1, max_size=2))]}
    if draw(st.booleans()):
        raw["days"] = draw(st.lists(st.sampled_from(DAYS), min_size=3, unique=True))
    if draw(st.booleans()):
        raw["quiet"] = _text(draw(_hours))
    return raw


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, dt.datetime]:
    """A zone and a moment, near the days on which its clock is set."""
    name = draw(st.sampled_from(ZONES))
    year = draw(st.integers(2000, 2037))
    found = list(jumps(ZoneInfo(name), year))
    near = draw(st.sampled_from(found)) if found else dt.datetime(year, 3, 1, tzinfo=UTC)
    return name, near + dt.timedelta(seconds=draw(st.integers(-90_000, 30_000)))


@settings(max_examples=150)
@given(where=moments(), raw=windows())
def test_the_answer_is_open_and_nothing_before_it_is(where: tuple[str, dt.datetime], raw: dict[str, Any]) -> None:
    name, moment = where
    openings = opening(raw, name)
    allowed = next_allowed(moment, openings).at
    if allowed is None:
        # Hours and quiet hours that leave nothing of a day.
        allowed = moment + 3 * DAY
    else:
        assert allowed >= moment
        assert all(each.is_open(allowed) for each in openings)
        assert next_allowed(allowed, openings).at == allowed
        if allowed > moment:
            assert not all(each.is_open(allowed - dt.timedelta(seconds=1)) for each in openings)
    here = moment
    while here < min(allowed, moment + 3 * DAY):
        assert not all(each.is_open(here) for each in openings)
        here += 5 * MINUTE


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        pytest.param([], "", id="no object"),
        pytest.param({"hour": "09:00-17:00"}, "hour", id="unknown property"),
        pytest.param({"days": ["monday"]}, "days", id="unknown day"),
        pytest.param({"hours": "9-17"}, "hours", id="hours"),
        pytest.param({"hours": "09:00-25:00"}, "hours", id="25 o'clock"),
        pytest.param({"hours": "24:30-23:00"}, "hours", id="24:30"),
        pytest.param({"hours": {"mon": "x"}}, "hours.mon", id="hours of a day"),
        pytest.param({"hours": {"mon": "09:00-10:00"}, "days": ["mon"]}, "days", id="days twice"),
        pytest.param({"quiet": "00:00-24:00"}, "quiet", id="quiet for good"),
        pytest.param({"tz": "Mars/Base"}, "tz", id="unknown zone"),
        pytest.param({"holidays": "no"}, "holidays", id="holidays"),
        pytest.param({"spread": "soon"}, "spread", id="spread"),
        pytest.param({"spread": "2d"}, "spread", id="too wide a band"),
    ],
)
def test_what_cannot_be_read_is_named(raw: Any, path: str) -> None:
    with pytest.raises(WindowError) as caught:
        parse_window(raw)
    assert caught.value.path == path


@pytest.mark.parametrize("line", ["25.12.", "2026-02-30", "13-01", 5])
def test_a_line_that_is_no_day_is_refused(line: Any) -> None:
    with pytest.raises(WindowError, match="is not a day"):
        parse_holidays([line])
