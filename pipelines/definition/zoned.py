"""The time zone of a pipeline (`settings.timezone`), in which its times are read that name none of their own."""

from collections.abc import Mapping
from typing import Any, Final

# Which parameter of a step is a time: until when a person has to answer, when a message may leave.
_TIMES: Final[Mapping[str, str]] = {
    "human_task": "due",
    **dict.fromkeys(("send_email", "send_sms", "send_push", "send_whatsapp"), "window"),
}
# Parts of a delay that mean another moment in another zone; a span alone does not.
_LOCAL: Final = frozenset({"at", "days", "until"})


def zone_in(document: Mapping[str, Any]) -> str:
    """The zone that a document names; empty where it leaves the choice to records and the team."""
    return _zone(document.get("settings") or {})


def zoned_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the zone in their own hours for sending."""
    found, window = dict(settings), settings.get("window")
    if window:
        found["window"] = _zoned(window, _zone(settings))
    return found


def zoned_delay(step: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    """The delay of a step."""
    return _zoned_rule(step.get("delay", 0), _zone(settings))


def zoned_parameters(kind: str, parameters: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a step of this kind takes, with the zone in its time; what others call so is theirs."""
    found, name = dict(parameters), _TIMES.get(kind, "")
    if name == "due" and name in found:
        found[name] = _zoned_rule(found[name], _zone(settings))
    elif name == "window" and found.get(name):
        found[name] = _zoned(found[name], _zone(settings))
    return found


def _zone(settings: Mapping[str, Any]) -> str:
    return str(settings.get("timezone") or "")


def _zoned_rule(rule: Any, zone: str) -> Any:
    return _zoned(rule, zone) if isinstance(rule, Mapping) and not _LOCAL.isdisjoint(rule) else rule


def _zoned(rule: Any, zone: str) -> Any:
    return {**rule, "tz": zone} if zone and isinstance(rule, Mapping) and not rule.get("tz") else rule
