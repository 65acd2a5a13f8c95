"""Steps that only decide: wait, condition, set_variable and end."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.actions.base import Done, Exit, Fail, Input, Kind, Outcome, Set
from pipelines.definition.program import Step
from pipelines.definition.values import ParameterError, is_dynamic


class Wait(Kind):
    """Does nothing: its delay did the waiting."""

    code = "wait"
    reads_of_subject = frozenset()
    label = "Wait"
    description = "Waits for the delay of this step and goes on."
    icon = "hourglass_empty"
    outcomes = ("next",)

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset()

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [Done() for _ in batch]


class Condition(Kind):
    """Two ways on, by a condition on the subject, the trigger or a variable."""

    code = "condition"
    reads_of_subject = frozenset()
    label = "Condition"
    description = "Goes one way when the condition is met and another when it is not."
    icon = "call_split"
    outcomes = ("true", "false", "error")

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset()

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._decide(step, visit) for visit in batch]

    def _decide(self, step: Step, visit: Input) -> Outcome:
        if step.guard is None:
            return Fail("This condition has no `if`.", code="validation")
        verdict = step.guard.evaluate(visit.context)
        why = tuple(leaf.as_dict() for leaf in verdict.why)
        if verdict.error:
            return Fail(verdict.error, code="expression", why=why)
        return Done(outcome="true" if verdict.met else "false", why=why)


class SetVariable(Kind):
    """Writes variables of the run."""

    code = "set_variable"
    reads_of_subject = frozenset()
    label = "Set variables"
    description = "Remembers values for later steps of this run."
    icon = "data_object"
    schema = {
        "type": "object",
        "title": "Variables",
        "description": 'Names and values, such as {"attempts": "= attempts + 1"}.',
        "x-widget": "fields",
        "minProperties": 1,
        "propertyNames": {"pattern": "^[a-z][a-z0-9_]{0,39}$"},
    }

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        values = _named(step["with"])
        return None if len(values) == 1 and is_dynamic(values.get("values")) else frozenset(values)

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for visit in batch:
            try:
                values = _named(step.params.evaluate(visit.context))
            except ParameterError as error:
                outcomes.append(Fail(str(error), code="expression"))
            else:
                outcomes.append(Done(changes=(Set(values),), output=values))
        return outcomes


def _named(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Names and values, which may stand under `values` as in the other steps that write."""
    inner = values.get("values")
    return inner if len(values) == 1 and isinstance(inner, Mapping) else values


class End(Kind):
    """Ends the run."""

    code = "end"
    reads_of_subject = frozenset()
    label = "End"
    description = "Ends the run here."
    icon = "stop_circle"
    outcomes = ()
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "status": {
                "title": "Ends as",
                "description": "How the run counts.",
                "enum": ["completed", "failed", "cancelled"],
                "x-held": True,
                "x-widget": "select",
            },
            "reason": {
                "type": "string",
                "title": "Reason",
                "description": "Shown on the run, such as won.",
                "maxLength": 60,
            },
            "terminate": {"type": "boolean", "title": "Terminate", "description": "Also ends the runs around it."},
        },
    }

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset()

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for visit in batch:
            try:
                params = step.params.evaluate(visit.context)
            except ParameterError as error:
                outcomes.append(Fail(str(error), code="expression"))
            else:
                outcomes.append(
                    Exit(
                        params.get("status") or "completed",
                        str(params.get("reason") or "end")[:60],
                        terminate=bool(params.get("terminate", False)),
                    )
                )
        return outcomes
