"""Names of time zones, read from disk once: asking for them takes milliseconds."""

from functools import cache
from zoneinfo import available_timezones


@cache
def known_timezones() -> frozenset[str]:
    """What the time zone database of this machine knew when it was first asked."""
    return frozenset(available_timezones())
