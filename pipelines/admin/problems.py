"""Problems of a document for the page: readable places, linked to the step they are about."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crm.models import Team
from pipelines.definition.document import Problem
from pipelines.operations import validate_document

_STEP: Final = re.compile(r"^steps\[(\d+)\]\.?(.*)$")
_EDGE: Final = re.compile(r"^edges(?:\[(\d+)\])?\.?(.*)$")
EDGES: Final = "edges-group"


@dataclass(frozen=True, slots=True)
class LinkedProblem:
    """What is wrong, where in words, and the step's key if it is about one."""

    place: str
    path: str
    message: str
    is_error: bool
    key: str = ""

    @property
    def anchor(self) -> str:
        if self.key:
            return f"step-{self.key}"
        return EDGES if _EDGE.match(self.path) else ""


def linked_problems(*, document: Mapping[str, Any], team: Team) -> list[LinkedProblem]:
    """Everything wrong or doubtful in a document, errors first."""
    return link(validate_document(document, team), document)


def link(problems: Sequence[Problem], document: object) -> list[LinkedProblem]:
    """Name the step of each problem."""
    found = [_linked(problem, document) for problem in problems]
    return sorted(found, key=lambda each: not each.is_error)


def _linked(problem: Problem, document: object) -> LinkedProblem:
    is_error = problem.severity == "error"
    edge = _EDGE.match(problem.path)
    if edge is not None:
        words = [f"Edge {int(edge[1]) + 1}" if edge[1] else "Edges", *filter(None, [edge[2]])]
        return LinkedProblem(", ".join(words), problem.path, problem.message, is_error)
    match = _STEP.match(problem.path)
    steps = document.get("steps") if isinstance(document, Mapping) else None
    if match is None or not isinstance(steps, list) or int(match[1]) >= len(steps):
        return LinkedProblem(problem.path or "document", problem.path, problem.message, is_error)
    step = steps[int(match[1])]
    key = str(step.get("key") or f"step_{int(match[1]) + 1}") if isinstance(step, Mapping) else ""
    place = f"Step {int(match[1]) + 1}" + (f", {match[2]}" if match[2] else "")
    return LinkedProblem(place, problem.path, problem.message, is_error, key)
