"""The time zone of a pipeline (`settings.timezone`), in which its times are read that name none of their own."""

from collections.abc import Mapping
from typing import Any, Final

# Parameters of steps that are times: until when a task is due, and when a message may leave.
_TIMES: Final = ("due", "window")


def zone_in(document: Mapping[str, Any]) -> str:
    """The zone that a document names; empty where it leaves the choice to records and the team."""
    return _zone(document.get("settings") or {})


def zoned_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the zone in their own hours for sending."""
    return _zoned(settings, ("window",), _zone(settings))


def zoned_delay(step: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    """The delay of a step; a plain span is the same in every zone."""
    return _zoned({"delay": step.get("delay", 0)}, ("delay",), _zone(settings))["delay"]


def zoned_parameters(parameters: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a step takes, with the zone in its times."""
    return _zoned(parameters, _TIMES, _zone(settings))


def _zone(settings: Mapping[str, Any]) -> str:
    return str(settings.get("timezone") or "")


def _zoned(values: Mapping[str, Any], names: tuple[str, ...], zone: str) -> dict[str, Any]:
    found = dict(values)
    for name in names:
        rule = found.get(name)
        if zone and isinstance(rule, Mapping) and not rule.get("tz"):
            found[name] = {**rule, "tz": zone}
    return found
