"""The rules of meaning that a document must keep beyond its shape."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from .delays import DelayError, parse_delay
from .durations import DurationError, parse_duration
from .expressions import suggestion
from .flow import KindSpec, allowed_outcomes, reachable, successors
from .layout import RESERVED_TARGETS, Place, context_names, places, variable_names
from .reading import Reads, note_condition, note_value, reads_of
from .shapes import Problem, document_schema, parameter_shape, spoken_path
from .values import is_dynamic

MOST_STEPS = 50
_EVENT = frozenset({"event"})
_WAITS_FOR_OTHERS = frozenset({"human_task", "wait_for"})


def check_steps(document: Mapping[str, Any], *, kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    """Keys, numbers, actions and parameters."""
    found = places(document)
    if len(found) > MOST_STEPS:
        yield Problem("steps", f"a pipeline has at most {MOST_STEPS} steps, this has {len(found)}")
        return
    if document.get("edges"):
        message = "edges are not available yet: put the steps in order and use 'next' and 'on'"
        yield Problem("edges", message)
    yield from _duplicates(found)
    for place in found:
        yield from _check_action(place, kinds)


def check_settings(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Durations, time zone and retries of the settings, and duplicate variables."""
    settings = document.get("settings", {})
    for name in ("step_timeout", "expires_after"):
        if name in settings:
            yield from _check_duration(settings[name], ("settings", name))
    yield from _check_retry(settings.get("retry"), ("settings", "retry"))
    if "timezone" in settings and not _is_zone(settings["timezone"]):
        yield Problem("settings.timezone", "unknown time zone: write it as 'Europe/Paris'")
    counts = Counter(each["name"] for each in document.get("variables", []))
    taken = context_names({**document, "variables": []})
    for index, variable in enumerate(document.get("variables", [])):
        if counts[variable["name"]] > 1:
            yield Problem(f"variables[{index}].name", f"'{variable['name']}' is declared twice")
        elif variable["name"] in taken:
            yield Problem(f"variables[{index}].name", f"'{variable['name']}' already has a meaning")


def check_triggers(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Conditions and assignments of triggers, and required variables that nothing sets."""
    triggers = document.get("triggers", [])
    keys = Counter(trigger["key"] for trigger in triggers if "key" in trigger)
    for index, trigger in enumerate(triggers):
        at = ("triggers", index)
        if keys[trigger.get("key", "")] > 1:
            yield Problem(spoken_path((*at, "key")), f"the key '{trigger['key']}' is used twice")
        yield from _check_reads(_trigger_reads(trigger), at, document, also=_EVENT)
        yield from _check_assigned(trigger.get("set", {}), (*at, "set"), document)
        if "every" in trigger:
            yield from _check_duration(trigger["every"], (*at, "every"))
    yield from _check_required(document)


def check_goals_and_exits(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Conditions and values of goals and exit rules."""
    for part in ("exit", "goals"):
        for index, rule in enumerate(document.get(part, [])):
            reads = Reads()
            if "where" in rule:
                note_condition(reads, ("where",), rule["where"])
            for name in ("match", "value"):
                if name in rule:
                    note_value(reads, (name,), rule[name])
            yield from _check_reads(reads, (part, index), document, also=_EVENT)
            if "within" in rule:
                yield from _check_duration(rule["within"], (part, index, "within"))


def check_flow(document: Mapping[str, Any], *, kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    """Targets, outcomes, timeouts and steps that nothing leads to."""
    found = places(document)
    keys = {place.key for place in found}
    for place in found:
        yield from _check_targets(place, keys)
        yield from _check_outcomes(place, kinds)
        yield from _check_times(place)
    graph = {place.key: successors(found, i, kinds) for i, place in enumerate(found)}
    reached = reachable(graph, found[0].key)
    for place in found:
        if place.key not in reached:
            message = f"no step leads to '{place.key}'"
            yield Problem(spoken_path(("steps", place.index)), message, "warning")
        yield from _check_order(place, graph)


def check_names(document: Mapping[str, Any], *, kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    """Names, variables and outputs that steps read and write."""
    read: dict[str, str] = {}
    for place in places(document):
        if place.step["type"] not in kinds:
            continue
        at = ("steps", place.index)
        reads = reads_of(place.step)
        also = _EVENT if place.step["type"] == "wait_for" else frozenset[str]()
        yield from _check_reads(reads, at, document, also=also)
        yield from _check_assigned(_assigned(place.step), (*at, "set"), document)
        for path, inside in reads.paths:
            name = path[1] if path[0] == "vars" and len(path) > 1 else path[0]
            read.setdefault(name, spoken_path((*at, *inside)))
    yield from _check_written(document, read)


def _duplicates(found: list[Place]) -> Iterator[Problem]:
    keys, numbers = Counter(p.key for p in found), Counter(p.number for p in found)
    for place in found:
        at = ("steps", place.index)
        if keys[place.key] > 1:
            message = f"the key '{place.key}' is used by more than one step"
            yield Problem(spoken_path((*at, "key")), message)
        if place.key in RESERVED_TARGETS:
            message = f"'{place.key}' is a reserved word: choose another key"
            yield Problem(spoken_path((*at, "key")), message)
        if numbers[place.number] > 1:
            message = f"the number {place.number} is used by more than one step"
            yield Problem(spoken_path((*at, "number")), message)


def _check_action(place: Place, kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    at = ("steps", place.index)
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
    yield from parameter_shape(place.step.get("with", {}), schema=kind.schema, at=(*at, "with"))


def _language_kinds() -> frozenset[str]:
    """The kinds of step that the schema of documents describes itself."""
    rules = document_schema()["$defs"]["step"]["allOf"]
    return frozenset(rule["if"]["properties"]["type"]["const"] for rule in rules)


def _check_targets(place: Place, keys: Collection[str]) -> Iterator[Problem]:
    named: dict[tuple[str, ...], str] = {("next",): place.step.get("next", "next")}
    named |= {("on", outcome): target for outcome, target in place.step.get("on", {}).items()}
    for inside, target in named.items():
        if target not in keys and target not in RESERVED_TARGETS:
            message = f"there is no step '{target}'{suggestion(target, keys)}"
            yield Problem(spoken_path(("steps", place.index, *inside)), message)


def _check_outcomes(place: Place, kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    kind = kinds.get(place.step["type"])
    on = place.step.get("on", {})
    if kind is None:
        return
    allowed = allowed_outcomes(place.step, kind)
    for outcome in sorted(set(on) - allowed):
        known = ", ".join(sorted(allowed))
        message = f"this step never ends with '{outcome}'; it may end with {known}"
        yield Problem(spoken_path(("steps", place.index, "on", outcome)), message)
    if kind.code in _WAITS_FOR_OTHERS and "timeout" in place.step and "timeout" not in on:
        message = "say in 'on' where 'timeout' leads"
        yield Problem(spoken_path(("steps", place.index, "on")), message)


def _check_order(place: Place, graph: Mapping[str, frozenset[str]]) -> Iterator[Problem]:
    """An output can only be read by a step that comes after the one that makes it."""
    for path, inside in reads_of(place.step).paths:
        source = path[1] if path[0] == "steps" and len(path) > 1 else place.key
        if source != place.key and source in graph and place.key not in reachable(graph, source):
            message = f"'{source}' has not run yet when this step reads its output"
            yield Problem(spoken_path(("steps", place.index, *inside)), message, "warning")


def _check_times(place: Place) -> Iterator[Problem]:
    at = ("steps", place.index)
    if "timeout" in place.step:
        yield from _check_duration(place.step["timeout"], (*at, "timeout"))
    yield from _check_retry(place.step.get("retry"), (*at, "retry"))
    if place.step["type"] == "human_task" and "due" in place.step.get("with", {}):
        try:
            parse_delay(place.step["with"]["due"])
        except DelayError as error:
            yield Problem(spoken_path((*at, "with", "due")), str(error))


def _check_retry(retry: Any, at: tuple[str | int, ...]) -> Iterator[Problem]:
    rules = retry if isinstance(retry, list) else [] if retry is None else [retry]
    for index, rule in enumerate(rules):
        inside = (*at, index) if isinstance(retry, list) else at
        for name in ("delay", "max_delay"):
            if name in rule:
                yield from _check_duration(rule[name], (*inside, name))


def _check_duration(value: Any, at: tuple[str | int, ...]) -> Iterator[Problem]:
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


def _trigger_reads(trigger: Mapping[str, Any]) -> Reads:
    reads = Reads()
    if "where" in trigger:
        note_condition(reads, ("where",), trigger["where"])
    for name in ("set", "subject"):
        if name in trigger:
            note_value(reads, (name,), trigger[name])
    reentry = trigger.get("reentry")
    if isinstance(reentry, Mapping) and "key" in reentry:
        note_value(reads, ("reentry", "key"), reentry["key"])
    return reads


def _check_reads(
    reads: Reads,
    at: tuple[str | int, ...],
    document: Mapping[str, Any],
    *,
    also: frozenset[str] = frozenset(),
) -> Iterator[Problem]:
    for fault in reads.faults:
        yield Problem(spoken_path((*at, *fault.at)), fault.message)
    known = context_names(document) | also
    variables = variable_names(document)
    keys = {place.key for place in places(document)}
    for path, inside in reads.paths:
        message = None
        if path[0] not in known and not _is_about_other_records(inside):
            message = f"unknown name '{path[0]}'{suggestion(path[0], known)}"
        elif path[0] == "vars" and len(path) > 1 and path[1] not in variables:
            message = f"there is no variable '{path[1]}'{suggestion(path[1], variables)}"
        elif path[0] == "steps" and len(path) > 1 and path[1] not in keys:
            message = f"there is no step '{path[1]}'{suggestion(path[1], keys)}"
        if message:
            yield Problem(spoken_path((*at, *inside)), message)


def _is_about_other_records(inside: tuple[str | int, ...]) -> bool:
    """The `where` of a search names fields of the records searched, not of the context."""
    return inside[:2] == ("with", "where")


def _assigned(step: Mapping[str, Any]) -> dict[str, Any]:
    values = step.get("with", {}).get("values") if step.get("type") == "set_variable" else None
    return {**(values if isinstance(values, Mapping) else {}), **step.get("set", {})}


def _check_assigned(
    assigned: Mapping[str, Any], at: tuple[str | int, ...], document: Mapping[str, Any]
) -> Iterator[Problem]:
    declared = variable_names(document)
    for name in sorted(set(assigned) - declared):
        message = f"'{name}' is not declared in 'variables'{suggestion(name, declared)}"
        yield Problem(spoken_path((*at, name)), message)


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


def _check_written(document: Mapping[str, Any], read: Mapping[str, str]) -> Iterator[Problem]:
    written = {name for place in places(document) for name in _assigned(place.step)}
    written |= {name for trigger in document.get("triggers", []) for name in trigger.get("set", {})}
    for variable in document.get("variables", []):
        name = variable["name"]
        is_given = name in written or "default" in variable or variable.get("required")
        if name in read and not is_given:
            message = f"the variable '{name}' is read but never written"
            yield Problem(read[name], message, "warning")
