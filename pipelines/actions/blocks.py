"""Steps that open lists of their own: branches side by side, a body run many times, another pipeline."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pipelines.actions.base import (
    TERMINATE,
    Child,
    ChildResult,
    Done,
    Exit,
    Fail,
    Fault,
    Input,
    Joined,
    Kind,
    Outcome,
    Spawn,
    deadline_of,
)
from pipelines.actions.inside import told
from pipelines.actions.looping import left_by_rounds, next_iteration
from pipelines.actions.settling import by_name, late, left_by, next_branches
from pipelines.definition.blocks import Loop, Parallel
from pipelines.definition.program import Step
from pipelines.definition.values import ParameterError, is_dynamic

JOINING: dict[str, Any] = {
    "join": {"title": "Goes on when", "description": "all, any, a number, or a condition on total, completed, failed."},
    "cancel_rest": {
        "type": "boolean",
        "default": True,
        "title": "Cancel the rest",
        "description": "What still runs then is ended.",
    },
    "on_branch_error": {
        "enum": ["fail", "wait", "ignore"],
        "title": "When one fails",
        "description": "Fail at once, wait for the others first, or ignore it.",
        "x-widget": "select",
    },
    "export": {
        "type": "array",
        "items": {"type": "string"},
        "title": "Export",
        "description": "Variables that are copied out when it is over.",
    },
}


class BlockKind(Kind):
    """A block is decided the same way whenever it is looked at: by how its children stand."""

    outcomes = ("next", "timeout", "error")
    opens_scopes = True

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._decide(step, visit) for visit in batch]

    resume = plan

    def _decide(self, step: Step, visit: Input) -> Outcome:
        ended = _terminated(visit.children)
        if ended is not None:
            return ended
        try:
            outcome = self.look(step, visit)
        except ParameterError as error:
            outcome = Fail(str(error), code="expression")
        if isinstance(outcome, Fail) and visit.children:
            # What has ended is over: its exports and outputs outlive the error of the block.
            return Joined(outcome="error", error=outcome.error, code=outcome.code, **self.left(step, visit))
        if isinstance(outcome, Spawn) and visit.deadline is not None and visit.now >= visit.deadline:
            return late(step, self.left(step, visit))
        return outcome

    def look(self, step: Step, visit: Input) -> Outcome:
        """Start more children, go on waiting, or leave."""
        raise NotImplementedError

    def left(self, step: Step, visit: Input) -> Mapping[str, Any]:
        """What the children left so far, as fields of `Joined`."""
        return {}


class ParallelBranches(BlockKind):
    """Several lists of steps at the same time."""

    code = "parallel"
    label = "Parallel"
    description = "Several branches at the same time; goes on when they are done."
    icon = "call_split"
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "branches": {
                "type": "array",
                "title": "Branches",
                "description": "Each has a name and steps; it may begin only if, or only after others.",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string", "title": "Name"},
                        "after": {
                            "type": "array",
                            "items": {"type": "string"},
                            "title": "After",
                            "description": "Names of branches to wait for; name:outcome waits for that end only.",
                        },
                        "optional": {
                            "type": "boolean",
                            "title": "Optional",
                            "description": "Its failure does not count.",
                        },
                        "if": {"title": "Only if"},
                    },
                },
            },
            **JOINING,
            "concurrency": {
                "type": "integer",
                "minimum": 1,
                "title": "At the same time",
                "description": "How many branches may run at once; all without a number.",
            },
        },
    }

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset({"branches"})

    def look(self, step: Step, visit: Input) -> Outcome:
        if not isinstance(step.block, Parallel):
            return Fail("This step has no branches.", code="validation")
        return next_branches(step, step.block, visit, _deadline(step, visit))

    def left(self, step: Step, visit: Input) -> Mapping[str, Any]:
        return left_by(step.block, by_name(step.block, visit)) if isinstance(step.block, Parallel) else {}


class LoopBody(BlockKind):
    """A list of steps run for each item, a number of times, while a condition holds or until one does."""

    code = "loop"
    label = "Loop"
    description = "Runs its steps again and again: for each item, a number of times, while or until."
    icon = "repeat"
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "over": {"title": "Over", "description": "A list; the steps run once for each item."},
            "times": {"title": "Times", "description": "How often the steps run."},
            "while": {"title": "While", "description": "Goes on as long as this holds."},
            "until": {"title": "Until", "description": "Goes on until this holds; runs at least once."},
            "as": {"type": "string", "title": "Name of the item", "description": "item without a name."},
            "index": {"type": "string", "title": "Name of the number", "description": "index without a name."},
            "max": {"type": "integer", "minimum": 1, "title": "At most", "description": "1,000 without a number."},
            "concurrency": {
                "type": "integer",
                "minimum": 1,
                "title": "At the same time",
                "description": "How many rounds may run at once; one without a number.",
            },
            "tolerate": {"title": "Tolerate", "description": "How many rounds may fail: a number, or 10%."},
            **JOINING,
        },
    }

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset({"items", "total", "completed", "failed", "skipped", "open"})

    def look(self, step: Step, visit: Input) -> Outcome:
        if not isinstance(step.block, Loop):
            return Fail("This step has no body.", code="validation")
        return next_iteration(step, step.block, visit, _deadline(step, visit))

    def left(self, step: Step, visit: Input) -> Mapping[str, Any]:
        return left_by_rounds(step, step.block, visit) if isinstance(step.block, Loop) else {}


class Call(BlockKind):
    """Another pipeline of the team for the same record, in the version it has at the call."""

    code = "call"
    label = "Call a pipeline"
    description = "Runs another pipeline for the same record, and waits for it unless told not to."
    icon = "account_tree"
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["pipeline"],
        "properties": {
            "pipeline": {
                "type": "string",
                "title": "Pipeline",
                "description": "The key of the pipeline.",
                "x-widget": "pipeline",
                "pattern": "^[a-z][a-z0-9_]{0,39}$",
            },
            "wait": {
                "type": "boolean",
                "default": True,
                "title": "Wait",
                "description": "Go on only when it has ended.",
            },
            "set": {"type": "object", "title": "Variables", "description": "Values for its variables."},
        },
    }

    def check(self, step: Mapping[str, Any]) -> Iterator[Fault]:
        if is_dynamic(step["with"]["pipeline"]):
            yield ("with", "pipeline"), "this must be fixed, not a template"

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset({"status", "outcome", "reason", "vars"})

    def look(self, step: Step, visit: Input) -> Outcome:
        if visit.children:
            return _returned(step, visit.children[0], _deadline(step, visit))
        params = step.params.evaluate(visit.context)
        waits = params.get("wait", True)
        child = Child(scope="", slot=0, vars=params.get("set") or {}, pipeline=str(params["pipeline"]))
        if not waits:
            return Done(started=(child,))
        return Spawn(children=(child,), deadline=_deadline(step, visit))


def _deadline(step: Step, visit: Input) -> datetime | None:
    return visit.deadline if visit.children else deadline_of(step, visit.now)


def _terminated(children: Sequence[ChildResult]) -> Exit | None:
    """A child that ended everything around it passes its end on."""
    for child in children:
        if child.finished and child.outcome == TERMINATE:
            return Exit(child.status, child.reason or "end", terminate=True)
    return None


def _returned(step: Step, child: ChildResult, deadline: datetime | None) -> Outcome:
    if not child.finished:
        return Spawn(children=(), deadline=deadline, again=(child.run_id,) if child.again else ())
    output = {"status": child.status, "outcome": child.outcome, "reason": child.reason, "vars": dict(child.vars)}
    if child.completed:
        return Joined(output=output)
    sentence = told(f"The called pipeline {step.raw.get('pipeline', '')}".rstrip(), child)
    return Joined(outcome="error", error=sentence, code="called", output=output)
