"""Steps that call other systems over HTTP."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from crm.team_secrets import mark
from pipelines.actions.base import Await, EffectRequest, Fail, Input, Kind, Outcome
from pipelines.definition.program import Step
from pipelines.definition.secret_places import SECRET, secret_names
from pipelines.definition.values import ParameterError

MAX_BODY = 256 * 1024


class CallApi(Kind):
    """One HTTP request through the guarded client, at least once, with a stable webhook-id."""

    code = "call_api"
    label = "Call a webhook"
    description = "Sends a request to another system and remembers its answer."
    icon = "webhook"
    group = "Integrations"
    effects = True
    # Every attempt carries the same webhook-id, by which receivers know it again.
    idempotent = True
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["url"],
        "properties": {
            "method": {"title": "Method", "enum": ["GET", "POST", "PUT", "PATCH", "DELETE"], "x-widget": "select"},
            "url": {
                "type": "string",
                "title": "Address",
                "description": "Must begin with https:// or http://.",
                "x-widget": "template",
                "maxLength": 2000,
            },
            "headers": {
                "type": "object",
                "title": "Headers",
                "x-widget": "fields",
                "additionalProperties": {"type": "string"},
            },
            "body": {
                "title": "Body",
                "description": "Sent as JSON: names and values; placeholders are filled in.",
                "x-widget": "fields",
            },
            "json": {
                "x-advanced": True,
                "title": "JSON",
                "description": "Another word for the body.",
                "x-widget": "json",
            },
        },
    }

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset({"status", "body", "reference"})

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._decide(step, visit) for visit in batch]

    def _decide(self, step: Step, visit: Input) -> Outcome:
        names = [] if SECRET in visit.context else secret_names(step.params.paths)
        try:
            params = step.params.evaluate(_with_marks(visit, names) if names else visit.context)
        except ParameterError as error:
            return Fail(str(error), code="expression")
        payload = _payload(params, visit)
        if names:
            payload["secrets"] = names
        if step.work_seconds is not None:
            payload["seconds"] = step.work_seconds
        if len(json.dumps(payload, default=str)) > MAX_BODY:
            return Fail("The body of this request is over 256 kB.", code="validation")
        return Await(EffectRequest("http", payload, at_most_once=step.delivery == "at_most_once"))


def _with_marks(visit: Input, names: Sequence[str]) -> dict[str, Any]:
    """What a visit may read, with marks where secrets stand: only who sends the request puts those in."""
    marks = {name: mark(team_id=visit.team_id, name=name, visit=visit.key) for name in names}
    return {**visit.context, SECRET: marks}


def _payload(params: Mapping[str, Any], visit: Input) -> dict[str, Any]:
    method = str(params.get("method") or "POST")
    body = params.get("body", params.get("json"))
    if body is None and method != "GET":
        body = {"event": "pipeline.step", "subject": visit.subject, "run": visit.run_id}
    return {
        "method": method,
        "url": str(params["url"]),
        "headers": {str(name): str(value) for name, value in (params.get("headers") or {}).items()},
        "body": body,
    }
