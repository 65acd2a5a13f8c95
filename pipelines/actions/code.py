"""A step that runs code people write, in a sandbox, on data alone."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings

from pipelines.actions.base import Await, Done, EffectRequest, Fail, Fault, Input, Kind, Outcome, settle
from pipelines.definition.durations import parse_duration
from pipelines.definition.program import Step
from pipelines.sandbox import running

LARGEST_CONTEXT = 1_000_000


class RunCode(Kind):
    """Python on the data of the run; what it leaves in `result` is the step's output."""

    code = "code"
    label = "Run code"
    description = "Runs Python on the data of the run, in a sandbox; what it leaves in result is the output."
    icon = "code"
    group = "Integrations"
    effects = True
    # It works on what it is given and reaches nothing.
    idempotent = True
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["source"],
        "properties": {
            "language": {"title": "Language", "enum": ["python"], "x-widget": "select"},
            "source": {
                "type": "string",
                "title": "Code",
                "description": "Reads context, such as context['steps']['find']['records'], and sets result.",
                "x-widget": "code",
                "minLength": 1,
                "maxLength": running.LONGEST_SOURCE,
            },
        },
    }

    def off(self) -> str:
        if not settings.PIPELINES_CODE_STEPS:
            return "set PIPELINES_CODE_STEPS=1"
        return "" if running.installed() else "install requirements-code.txt"

    def check(self, step: Mapping[str, Any]) -> Iterator[Fault]:
        if not settings.PIPELINES_CODE_STEPS:
            yield ("type",), "code steps are switched off in this installation: set PIPELINES_CODE_STEPS=1"
        elif not running.installed():
            yield ("type",), running.NOT_INSTALLED
        if "timeout" in step and parse_duration(step["timeout"]) > running.MOST_SECONDS:
            yield ("timeout",), f"code runs for at most {running.MOST_SECONDS:g} seconds"

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [_request(step, visit) for visit in batch]

    def resume(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [_answered(step, visit) for visit in batch]


def _request(step: Step, visit: Input) -> Outcome:
    context = dict(visit.context)
    if len(json.dumps(context, default=str)) > LARGEST_CONTEXT:
        return Fail(f"The data for this code is over {LARGEST_CONTEXT // 1_000_000} MB.", code="validation")
    payload = {"source": str(step.raw["source"]), "context": context, "seconds": _seconds(step)}
    return Await(EffectRequest("code", payload))


def _seconds(step: Step) -> float:
    """The step's own timeout; the pipeline's may only shorten what every step has."""
    if step.timeout is not None:
        return step.timeout
    return min(running.DEFAULT_SECONDS, step.work_seconds or running.DEFAULT_SECONDS)


def _answered(step: Step, visit: Input) -> Outcome:
    outcome = settle(step, visit)
    if not isinstance(outcome, Done) or outcome.outcome != "next" or visit.signal is None:
        return outcome
    value = visit.signal.result.get("value")
    output = value if isinstance(value, dict) else {"result": value}
    printed = str(visit.signal.result.get("printed") or "")
    return Done(output=output, shown={**output, "printed": printed[:2_000]} if printed else None)
