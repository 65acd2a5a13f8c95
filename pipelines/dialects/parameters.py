"""The parameters of one step in our words, by what it does."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pipelines.dialects.naming import Names
from pipelines.dialects.words import key_of, model_of, snake, span_of, type_of

Inner = Callable[[list[Any]], list[dict[str, Any]]]
_TO: Final = dict.fromkeys(("recipient", "recipients", "email", "phone", "device_token", "device_tokens"), "to")
_PIPELINE: Final = dict.fromkeys(
    ("campaign", "campaign_id", "campaign_key", "workflow", "workflow_id", "pipeline_id", "pipeline_key"), "pipeline"
)
_SEGMENT: Final = dict.fromkeys(("segment_id", "segment_key", "key"), "segment")
_VALUES: Final = dict.fromkeys(("profile_data", "data", "fields", "updates", "changes"), "values")
_MODEL: Final = dict.fromkeys(("record_type", "entity", "entity_type", "object", "type"), "model")
_TASK: Final = {"assigned_to": "assignee", "due_date": "due", "due_in": "due", "group": "role"}
_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "send_email": {**_TO, "template_slug": "template", "template_id": "template", "data": "variables",
                   "body": "text", "content": "text", "message": "text"},
    "send_push": {**_TO, "message": "body", "text": "body", "content": "body", "data": "variables"},
    "send_sms": {**_TO, "message": "text", "body": "text", "content": "text", "data": "variables"},
    "send_whatsapp": {**_TO, "message": "text", "body": "text", "content": "text", "data": "variables"},
    "call_api": {"endpoint": "url", "uri": "url", "payload": "body", "data": "body"},
    "notify": {**_TO, "user": "to", "assignee": "to", "message": "text", "content": "text"},
    "create_task": _TASK,
    "human_task": {**_TASK, "form_fields": "form", "fields": "form"},
    "create_record": {**_VALUES, **_MODEL},
    "update_record": {**_VALUES, **_MODEL, "record_id": "record", "id": "record", "user_id": "record"},
    "find_records": {**_MODEL, "condition": "where", "conditions": "where", "filter": "where"},
    "enroll": _PIPELINE, "unenroll": _PIPELINE, "call": _PIPELINE,
    "create_segment": _SEGMENT, "add_to_segment": _SEGMENT, "remove_from_segment": _SEGMENT,
    "code": {"code": "source", "script": "source", "python": "source"},
    "loop": {"items": "over", "collection": "over", "count": "times", "item": "as", "actions": "steps"},
    "parallel": {"parallel_steps": "branches", "steps": "branches", "actions": "branches"},
}  # fmt: skip
_FIELD_TYPES: Final = {
    "string": "text", "checkbox": "boolean", "bool": "boolean", "dropdown": "select", "radio": "select",
    "integer": "number", "long_text": "textarea",
}  # fmt: skip


def step_of(word: object, given: Mapping[str, Any], *, names: Names, inner: Inner) -> dict[str, Any]:
    """`type` of a step, and whatever else of it its parameters say; `inner` tells the steps inside it."""
    kind = type_of(word)
    if kind in ("action", "custom_action") and isinstance(given.get("action"), str):
        rest = {name: value for name, value in given.items() if name != "action"}
        inside = rest.pop("parameters", None)
        chosen = type_of(given["action"])
        if kind == "custom_action":
            return {"type": f"custom.{chosen}", "with": names.value({**rest, **_mapping(inside)})}
        return step_of(chosen, {**rest, **_mapping(inside)}, names=names, inner=inner)
    if kind == "wait":
        return _wait(given)
    if kind == "condition":
        return {"type": kind, "if": names.condition(_asked(given))}
    if kind == "code":
        return {"type": kind, "with": _renamed(kind, given)}
    found = _renamed(kind, given) if kind in ("loop", "parallel") else _renamed(kind, names.value(given))
    change = _CHANGES.get(kind)
    return {"type": kind, "with": change(found, names, inner) if change else found}


def _wait(given: Mapping[str, Any]) -> dict[str, Any]:
    span = span_of(given)
    return {"type": "wait", "delay": span} if span else {"type": "wait"}


def _asked(given: Mapping[str, Any]) -> Any:
    """What a condition asks, wherever it stands among its parameters."""
    for name in ("condition", "conditions", "expression", "if"):
        if name in given:
            return given[name]
    return {name: given[name] for name in ("field", "operator", "value") if name in given}


def _renamed(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    names = _NAMES.get(kind, {})
    found: dict[str, Any] = {}
    for name, value in given.items():
        own = snake(str(name))
        found.setdefault(names.get(own, own), value)
    return found


def _email(found: dict[str, Any], names: Names, inner: Inner) -> dict[str, Any]:
    if isinstance(found.get("to"), list) and len(found["to"]) == 1:
        found["to"] = found["to"][0]
    return found


def _call(found: dict[str, Any], names: Names, inner: Inner) -> dict[str, Any]:
    if isinstance(found.get("method"), str):
        found["method"] = found["method"].upper()
    return found


def _task(found: dict[str, Any], names: Names, inner: Inner) -> dict[str, Any]:
    if "due" in found:
        found["due"] = span_of(found["due"])
    if isinstance(found.get("form"), list):
        found["form"] = [_field(field) for field in found["form"]]
    return found


def _field(field: Any) -> Any:
    if not isinstance(field, Mapping):
        return field
    word = str(field.get("type", "text")).lower()
    told = {**field, "type": _FIELD_TYPES.get(word, word)}
    if "placeholder" in told:
        told.setdefault("help", told.pop("placeholder"))
    return told


def _update(found: dict[str, Any], names: Names, inner: Inner) -> dict[str, Any]:
    """One field and its value, or many; who is the subject anyway need not be named."""
    if "field" in found:
        name = str(found.pop("field")).removeprefix(f"{names.alias}.")
        found["values"] = {name: found.pop("value", None)}
    found = _record(found, names, inner)
    if str(found.get("record", "")).replace(" ", "") in (f"{{{{{names.alias}.id}}}}", f"{{{{{names.alias}}}}}"):
        del found["record"]
    if found.get("model") == names.model and "record" not in found:
        del found["model"]
    return found


def _record(found: dict[str, Any], names: Names, inner: Inner) -> dict[str, Any]:
    if "model" in found:
        found["model"] = model_of(found["model"])
    if isinstance(found.get("values"), Mapping):
        found["values"] = {snake(str(name)): value for name, value in found["values"].items()}
    return found


def _variables(found: dict[str, Any], names: Names, inner: Inner) -> dict[str, Any]:
    name = found.get("name") or found.get("variable")
    values = {str(name): found.get("value")} if name else found.get("variables") or found.get("values") or found
    return {snake(key): value for key, value in _mapping(values).items()}


def _pipeline(found: dict[str, Any], names: Names, inner: Inner) -> dict[str, Any]:
    return {**found, "pipeline": key_of(found["pipeline"], otherwise="pipeline")} if "pipeline" in found else found


def _segment(found: dict[str, Any], names: Names, inner: Inner) -> dict[str, Any]:
    named = found.get("segment") or found.get("name") or found.pop("segment_name", None)
    return {**found, "segment": key_of(named, otherwise="segment")} if named else found


def _loop(found: dict[str, Any], names: Names, inner: Inner) -> dict[str, Any]:
    for name in ("while", "until"):
        if name in found:
            found[name] = names.condition(found[name])
    for name in ("over", "times"):
        if name in found:
            found[name] = names.value(found[name])
    return {**found, "steps": inner(found["steps"])} if isinstance(found.get("steps"), list) else found


def _parallel(found: dict[str, Any], names: Names, inner: Inner) -> dict[str, Any]:
    """Each step, or list of steps, is a branch."""
    branches = []
    for number, part in enumerate(found.get("branches") or (), 1):
        steps = part if isinstance(part, list) else _mapping(part).get("steps") or [part]
        name = _mapping(part).get("name") if isinstance(part, Mapping) else None
        branches.append({"name": key_of(name, otherwise=f"branch_{number}"), "steps": inner(steps)})
    return {**found, "branches": branches}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


_CHANGES: Final[Mapping[str, Callable[[dict[str, Any], Names, Inner], dict[str, Any]]]] = {
    "send_email": _email, "call_api": _call, "create_task": _task, "human_task": _task, "update_record": _update,
    "create_record": _record, "find_records": _record, "set_variable": _variables, "enroll": _pipeline,
    "unenroll": _pipeline, "call": _pipeline, "create_segment": _segment, "add_to_segment": _segment,
    "remove_from_segment": _segment, "loop": _loop, "parallel": _parallel,
}  # fmt: skip
