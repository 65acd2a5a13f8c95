"""What stands around the steps: the name and key of a definition, its subject, its ways in, and where names lead."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pipelines.dialects.naming import Names, roots_in
from pipelines.dialects.words import MODELS, key_of, snake
from pipelines.documents import FORMAT

_KINDS: Final = {
    "manual": "manual", "scheduled": "cron", "schedule": "cron", "cron": "cron", "webhook": "webhook",
}  # fmt: skip
_MOST_SET: Final = 10_000
_OF_A_RECORD = re.compile(r"([a-z]+)[._:](created|updated|deleted)")
_SUBJECTS: Final = {word: model for word, model in MODELS.items() if model.startswith("contacts.")}


def head(document: Mapping[str, Any], *, names: Names, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Format, key, name, description, subject and what is kept for the record."""
    title = document.get("name") or meta.get("name") or document.get("workflow_id") or document.get("id") or "Imported"
    ids = (document.get("workflow_id"), document.get("id"), document.get("key"), meta.get("id"), meta.get("identifier"))
    found: dict[str, Any] = {
        "format": FORMAT,
        "key": key_of(next((each for each in ids if each), title), otherwise="pipeline"),
        "name": str(title),
        "description": str(document.get("description") or meta.get("description") or ""),
        "subject": {"model": names.model, "as": names.alias} if names.model else None,
    }
    kept = {name: value for name, value in meta.items() if name not in ("name", "description", "id", "identifier")}
    if "version" in document:
        kept["version"] = document["version"]
    if kept:
        found["meta"] = kept
    return found if found["description"] else {name: found[name] for name in found if name != "description"}


def alias_of(document: Mapping[str, Any], *, otherwise: str = "") -> str:
    """The word that a definition has for whom it is about: of its variables, its names, or its event."""
    variables = document.get("variables") or ()
    declared = [each.get("name") for each in variables if isinstance(each, Mapping) and each.get("type") == "object"]
    read = [root for root, _ in Counter(roots_in(document)).most_common()]
    events = [word for trigger in _triggers(document) for word in re.split(r"[^a-z]+", _event(trigger).lower())]
    return next((word for word in (*declared, *read, *events) if word in _SUBJECTS), otherwise)


def names_of(
    document: Mapping[str, Any], *, steps: Sequence[Mapping[str, Any]], alias: str, variables: Iterable[str] = ()
) -> Names:
    """Where the names of a definition lead; ids of steps become keys."""
    event = any(_kind(trigger) in ("event", "webhook") for trigger in _triggers(document))
    names = Names(alias=alias, variables=[name for name in variables if name != alias], event=event)
    for number, step in enumerate(steps, 1):
        names.add_key(step, number)
    return names


def ways_in(document: Mapping[str, Any], *, names: Names, required: Iterable[str] = ()) -> list[dict[str, Any]]:
    """The triggers; variables that are required come with the event under their own names.

    Raises ValueError for more of both than anybody writes.
    """
    triggers, needed = _triggers(document), list(required)
    if len(triggers) * len(needed) > _MOST_SET:
        raise ValueError("more triggers and variables than anybody writes")
    return [_way_in(trigger, names, needed) for trigger in triggers]


def _triggers(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    given = document.get("trigger") or document.get("triggers") or []
    rows = given if isinstance(given, list) else [given]
    return [row if isinstance(row, Mapping) else {"type": row} for row in rows]


def _config(trigger: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = next((trigger[name] for name in ("config", "configuration", "data") if trigger.get(name)), {})
    return found if isinstance(found, Mapping) else {}


def _event(trigger: Mapping[str, Any]) -> str:
    config, word = _config(trigger), str(trigger.get("type") or "")
    if snake(word) != "event":
        return word
    named = [config.get(name) for name in ("event", "event_name", "eventName", "name")]
    return str(next((each for each in named if each), trigger.get("event") or word))


def _kind(trigger: Mapping[str, Any]) -> str:
    return _KINDS.get(snake(str(trigger.get("type") or "")), "event")


def _way_in(trigger: Mapping[str, Any], names: Names, required: list[str]) -> dict[str, Any]:
    kind, config = _kind(trigger), _config(trigger)
    found: dict[str, Any] = {"type": kind}
    if kind == "cron":
        crons = ("cron", "cronExpression", "expression", "schedule")
        found["cron"] = str(next((config[name] for name in crons if config.get(name)), trigger.get("cron", "")))
        zone = config.get("tz") or config.get("timezone")
        found = {**found, "tz": zone} if zone else found
    if kind == "webhook" and names.model:
        found["subject"] = f"{{{{ trigger.{names.alias}_id }}}}"
    if kind == "event":
        found = _heard(_event(trigger), names)
    conditions = trigger.get("conditions") or config.get("conditions") or config.get("condition")
    if conditions:
        found["where"] = names.condition(conditions)
    if required and kind in ("event", "webhook") and found["type"] not in ("created", "updated", "deleted"):
        found["set"] = {snake(name): f"{{{{ trigger.{name} }}}}" for name in required}
    return found


def _heard(event: str, names: Names) -> dict[str, Any]:
    """An event by its name, or a change of the records that the pipeline is about."""
    found = _OF_A_RECORD.fullmatch(event.lower())
    if found and names.model and _SUBJECTS.get(found[1]) == names.model:
        return {"type": found[2], "model": names.model}
    return {"type": "event", "event": event}
