"""Steps that wait for something outside: an event, or a change of the record."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

from pipelines.actions.base import Done, EventRequest, Fail, Fault, Input, Kind, Outcome, WaitFor, deadline_of
from pipelines.definition.conditions import Condition, compile_condition
from pipelines.definition.durations import DurationError, parse_duration
from pipelines.definition.program import Step
from pipelines.definition.values import ParameterError, is_dynamic

MET = "met"
# Edges that every step has, so no event can be called like them.
_TAKEN = frozenset({"next", "error", "skipped", "timeout"})
# How long the name of an outcome may be.
_LONGEST = 40


class WaitForEvents(Kind):
    """Waits until one of its events happens or its condition holds, whatever comes first."""

    code = "wait_for"
    label = "Wait for"
    description = "Waits until something happens to the record, or until a condition holds."
    icon = "notifications_active"
    outcomes = (MET, "timeout", "error")
    schema = {
        "type": "object",
        "additionalProperties": False,
        "anyOf": [{"required": ["events"]}, {"required": ["condition"]}],
        "properties": {
            "events": {
                "type": "array",
                "minItems": 1,
                "title": "Events",
                "description": "The first one that happens decides the way on; with “since”, earlier ones count, too.",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["event"],
                    "properties": {
                        "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$", "title": "Name"},
                        "event": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": 80,
                            "title": "Event",
                            "x-widget": "event",
                        },
                        "where": {"title": "Only if"},
                        "match": {"type": "object", "title": "Carrying"},
                        "since": {"title": "Since", "description": "now, step, run, or a duration such as 2d."},
                    },
                },
            },
            "condition": {"title": "Condition", "description": "Looked at now and whenever the record changes."},
            "count": {"type": "integer", "minimum": 1, "title": "How often"},
        },
    }

    def check(self, step: Mapping[str, Any]) -> Iterator[Fault]:
        """What an event is called must not be what something else ends with."""
        for index, event in enumerate(step["with"].get("events", ())):
            part = "name" if "name" in event else "event"
            if event[part] in _TAKEN:
                message = f"'{event[part]}' already has a meaning: choose another 'name' for this event"
                yield ("with", "events", index, part), message
            elif len(event[part]) > _LONGEST and not is_dynamic(event[part]):
                yield ("with", "events", index, part), f"give this event a 'name' of at most {_LONGEST} characters"

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._wait(step, visit) for visit in batch]

    def resume(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._end(step, visit) for visit in batch]

    def _wait(self, step: Step, visit: Input) -> Outcome:
        condition = step.raw.get("condition")
        if condition is not None:
            verdict = _compiled(json.dumps(condition)).evaluate(visit.context)
            why = tuple(leaf.as_dict() for leaf in verdict.why)
            if verdict.error:
                return Fail(verdict.error, code="expression", why=why)
            if verdict.met:
                return Done(outcome=MET, why=why, output={"outcome": MET})
        try:
            events = tuple(
                self._request(raw, given, visit)
                for raw, given in zip(
                    step.raw.get("events", ()), step.params.evaluate(visit.context).get("events", ()), strict=True
                )
            )
        except ParameterError as error:
            return Fail(str(error), code="expression")
        return WaitFor(
            events=events,
            condition=condition,
            count=int(step.raw.get("count", 1)),
            deadline=deadline_of(step, visit.now),
        )

    def _request(self, raw: Mapping[str, Any], given: Mapping[str, Any], visit: Input) -> EventRequest:
        since = given.get("since", "now")
        if since == "run":
            moment = visit.context["run"]["started_at"]
        elif since in ("now", "step"):
            moment = None
        else:
            moment = visit.now - timedelta(seconds=_seconds(since))
        match = given.get("match")
        if match is not None and not isinstance(match, Mapping):
            raise ParameterError("match", "must be an object")
        return EventRequest(
            name=str(given.get("name") or given["event"])[:_LONGEST],
            event=str(given["event"]),
            where=raw.get("where"),
            match=match,
            since=moment,
        )

    def _end(self, step: Step, visit: Input) -> Outcome:
        signal = visit.signal
        if signal is None or signal.status == "lost":
            return Fail("What this step waited for was lost.", code="lost")
        output = {**signal.result, "outcome": signal.outcome}
        return Done(outcome=signal.outcome or "next", output=output)


def _seconds(since: Any) -> float:
    try:
        return parse_duration(since)
    except DurationError as error:
        raise ParameterError("since", str(error)) from None


@lru_cache(maxsize=2_000)
def _compiled(text: str) -> Condition:
    return compile_condition(json.loads(text))
