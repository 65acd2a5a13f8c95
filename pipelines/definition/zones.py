"""Time zones by their names."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def known_zone(name: object) -> ZoneInfo | None:
    """A time zone by its name, None for what is none."""
    if not isinstance(name, str) or not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
