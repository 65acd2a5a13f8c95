"""The rules of meaning that a document must keep beyond its shape: steps, settings, triggers, goals."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from .delays import DelayError, parse_delay
from .durations import DurationError, parse_duration
from .expressions import suggestion
from .flow import KindSpec
from .layout import RESERVED_TARGETS, Path, Place, context_names, every_place, own_parameters
from .meant import Fields, no_fields
from .naming import check_assigned, check_reads, only_event
from .reading import reads_of_rules, reads_of_trigger
from .retries import ERROR_CLASSES, names_known_errors
from .shapes import Problem, document_schema, parameter_shape, spoken_path
from .values import is_dynamic
from .variables import misfit
from .windows import WindowError, parse_window

DEEPEST_BLOCK = 8

# What the engine tells of contacts who are silent.
INACTIVE = "contact_inactive"


def check_steps(document: Mapping[str, Any], *, kinds: Mapping[str, KindSpec], most: int) -> Iterator[Problem]:
    """Keys, numbers, actions, parameters, times and the depth of blocks."""
    found = every_place(document)
    if len(found) > most:
        yield Problem("steps", f"a pipeline has at most {most} steps, this has {len(found)}")
        return
    yield from _duplicates(found)
    for place in found:
        yield from _check_action(place, kinds)
        if place.at.count("with") > DEEPEST_BLOCK:
            message = f"blocks stand at most {DEEPEST_BLOCK} deep inside each other"
            yield Problem(spoken_path(place.at), message)


def check_times(document: Mapping[str, Any], *, kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    """Timeouts, due times and retries of the steps."""
    for place in every_place(document):
        yield from _check_times(place, kinds.get(place.step["type"]))
        yield from _check_repeats(place, kinds.get(place.step["type"]), document)


def check_settings(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Durations, time zone and retries of the settings, and duplicate variables."""
    settings = document.get("settings", {})
    for name in ("step_timeout", "expires_after"):
        if name in settings:
            yield from _check_duration(settings[name], ("settings", name))
    yield from _check_retry(settings.get("retry"), ("settings", "retry"))
    if "timezone" in settings and not _is_zone(settings["timezone"]):
        yield Problem("settings.timezone", "unknown time zone: write it as 'Europe/Paris'")
    yield from _check_window(settings.get("window"), ("settings", "window"))
    if settings.get("log", "all") != "all":
        yield Problem("settings.log", "does nothing: what a run does is always written down whole", "warning")
    if settings.get("enabled") is False:
        yield Problem("settings.enabled", "does nothing: a pipeline runs when it is activated", "warning")
    counts = Counter(each["name"] for each in document.get("variables", []))
    taken = context_names({**document, "variables": []})
    for index, variable in enumerate(document.get("variables", [])):
        if counts[variable["name"]] > 1:
            yield Problem(f"variables[{index}].name", f"'{variable['name']}' is declared twice")
        elif variable["name"] in taken:
            yield Problem(f"variables[{index}].name", f"'{variable['name']}' already has a meaning")
        wrong = misfit(variable["type"], variable.get("default"))
        if wrong:
            yield Problem(f"variables[{index}].default", f"{wrong}, as the type of '{variable['name']}' says")


def check_triggers(document: Mapping[str, Any], *, fields: Fields = no_fields) -> Iterator[Problem]:
    """Conditions and assignments of triggers, and required variables that nothing sets."""
    triggers = document.get("triggers", [])
    keys = Counter(trigger["key"] for trigger in triggers if "key" in trigger)
    for index, trigger in enumerate(triggers):
        at = ("triggers", index)
        if keys[trigger.get("key", "")] > 1:
            yield Problem(spoken_path((*at, "key")), f"the key '{trigger['key']}' is used twice")
        yield from check_reads(reads_of_trigger(trigger), at, document, fields, also=only_event)
        yield from check_assigned(trigger.get("set", {}), (*at, "set"), document)
        for name in ("every", "debounce", "silence"):
            if name in trigger:
                yield from _check_duration(trigger[name], (*at, name))
        if ("silence" in trigger) != (trigger["type"] == "event" and trigger.get("event") == INACTIVE):
            message = f"the event '{INACTIVE}' needs how long nothing was heard, such as \"30d\"; no other event has it"
            yield Problem(spoken_path((*at, "silence")), message)
    yield from _check_required(document)


def check_goals_and_exits(document: Mapping[str, Any], *, fields: Fields = no_fields) -> Iterator[Problem]:
    """Conditions and values of goals and exit rules."""
    for at, reads in reads_of_rules(document):
        yield from check_reads(reads, at, document, fields, also=only_event)
        rule = document[at[0]][at[1]]
        if "within" in rule:
            yield from _check_duration(rule["within"], (*at, "within"))


def _duplicates(found: Sequence[Place]) -> Iterator[Problem]:
    keys, numbers = Counter(p.key for p in found), Counter((p.scope, p.number) for p in found)
    for place in found:
        at = place.at
        if keys[place.key] > 1:
            message = f"the key '{place.key}' is used by more than one step"
            yield Problem(spoken_path((*at, "key")), message)
        if place.key in RESERVED_TARGETS:
            message = f"'{place.key}' is a reserved word: choose another key"
            yield Problem(spoken_path((*at, "key")), message)
        if numbers[place.scope, place.number] > 1:
            message = f"the number {place.number} is used by more than one step"
            yield Problem(spoken_path((*at, "number")), message)


def _check_action(place: Place, kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    at = place.at
    code = place.step.get("type")
    if not isinstance(code, str):
        return
    kind = kinds.get(code)
    if kind is None:
        if code in _language_kinds():
            message = f"{code} steps are not available yet"
        else:
            message = f"unknown action '{code[:60]}'{suggestion(code[:60], kinds)}"
        yield Problem(spoken_path((*at, "type")), message)
        return
    yield from parameter_shape(own_parameters(place.step), schema=kind.schema, at=(*at, "with"))


def _language_kinds() -> frozenset[str]:
    """The kinds of step that the schema of documents describes itself."""
    rules = document_schema()["$defs"]["step"]["allOf"]
    return frozenset(rule["if"]["properties"]["type"]["const"] for rule in rules)


def _check_times(place: Place, kind: KindSpec | None) -> Iterator[Problem]:
    at = place.at
    if "timeout" in place.step:
        yield from _check_duration(place.step["timeout"], (*at, "timeout"))
    yield from _check_retry(place.step.get("retry"), (*at, "retry"))
    if kind is not None and "window" in kind.schema.get("properties", {}):
        yield from _check_window(own_parameters(place.step).get("window"), (*at, "with", "window"))
    if place.step["type"] == "human_task" and "due" in place.step.get("with", {}):
        try:
            parse_delay(place.step["with"]["due"])
        except DelayError as error:
            yield Problem(spoken_path((*at, "with", "due")), str(error))


def _check_retry(retry: Any, at: Path) -> Iterator[Problem]:
    rules = retry if isinstance(retry, list) else [] if retry is None else [retry]
    for index, rule in enumerate(rules):
        inside = (*at, index) if isinstance(retry, list) else at
        for name in ("delay", "max_delay"):
            if name in rule:
                yield from _check_duration(rule[name], (*inside, name))
        for position, name in enumerate(rule.get("on", ())):
            if not names_known_errors(name):
                yield _unknown_error(name, (*inside, "on", position))


def _unknown_error(name: str, at: Path) -> Problem:
    """Actions may have codes of their own, so only what looks like a slip is an error."""
    hint = suggestion(name, ERROR_CLASSES)
    known = ", ".join(sorted(ERROR_CLASSES))
    message = f"unknown class of error '{name[:60]}'{hint or f': the usual ones are {known}, and * for all'}"
    return Problem(spoken_path(at), message, "error" if hint else "warning")


def _check_repeats(place: Place, kind: KindSpec | None, document: Mapping[str, Any]) -> Iterator[Problem]:
    """A retry after an answer was lost may do the same thing twice."""
    retry = place.step.get("retry", document.get("settings", {}).get("retry"))
    if kind is None or not retry or not kind.effects or kind.idempotent:
        return
    asked = place.step.get("delivery", "at_most_once" if kind.at_most_once else "at_least_once")
    if asked != "at_least_once":
        return
    if kind.at_most_once:
        message = "with 'at_least_once' a lost answer is followed by another try, so people may get this twice"
        yield Problem(spoken_path((*place.at, "delivery")), message, "warning")
        return
    message = (
        f"'{kind.code}' is not known to be idempotent, so a try after a lost answer may do this twice: "
        'with "delivery": "at_most_once" a person decides instead'
    )
    yield Problem(spoken_path((*place.at, "retry") if "retry" in place.step else place.at), message, "warning")


def _check_window(window: Any, at: Path) -> Iterator[Problem]:
    try:
        parse_window(window)
    except WindowError as error:
        yield Problem(spoken_path((*at, *error.path.split("."))) if error.path else spoken_path(at), error.message)


def _check_duration(value: Any, at: Path) -> Iterator[Problem]:
    if is_dynamic(value):
        yield Problem(spoken_path(at), "this must be a fixed duration, not a template")
        return
    try:
        parse_duration(value)
    except DurationError as error:
        yield Problem(spoken_path(at), str(error))


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return False
    return True


def _check_required(document: Mapping[str, Any]) -> Iterator[Problem]:
    triggers = document.get("triggers", [])
    if not triggers or any(trigger["type"] == "manual" for trigger in triggers):
        return
    set_by_all = set.intersection(*(set(trigger.get("set", {})) for trigger in triggers))
    for index, variable in enumerate(document.get("variables", [])):
        is_given = "default" in variable or variable["name"] in set_by_all
        if variable.get("required") and not is_given:
            message = f"'{variable['name']}' is required, but not every trigger sets it"
            yield Problem(f"variables[{index}]", message)
