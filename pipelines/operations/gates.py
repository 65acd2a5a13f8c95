"""What else must hold before a document is published; asked by publishing, known by what stands above it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crm.models import Team
from pipelines.definition.document import Problem, checksum
from pipelines.models import Pipeline
from pipelines.operations.checking import validate_document

# The document, its team, and the documents that are published together with it.
Gate = Callable[[Mapping[str, Any], Team, Sequence[Mapping[str, Any]]], list[Problem]]

_gates: Final[list[Gate]] = []


def register_gate(gate: Gate) -> None:
    """Ask this whenever a checked document is about to be published; what it answers refuses it."""
    if gate not in _gates:
        _gates.append(gate)


def forget_gate(gate: Gate) -> None:
    """Ask this no more."""
    _gates.remove(gate)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the gates said of a document, which its checksum names."""

    digest: str
    problems: tuple[Problem, ...] = ()


def ask_ahead(
    *,
    pipeline: Pipeline,
    document: Mapping[str, Any],
    beside: Sequence[Mapping[str, Any]] = (),
    named: Collection[str] = (),
) -> Asked:
    """Ask about a document that is about to be published, before the pipeline's row is locked: it may take seconds.

    Documents `beside` are published together with it, and pipelines `named` come into the team together with it.
    Nobody is asked about what is current already, or what is refused for its problems anyway.
    """
    digest, current = checksum(document), pipeline.current_version
    if current is not None and current.checksum == digest:
        return Asked(digest)
    if any(each.severity == "error" for each in validate_document(document, pipeline.team, beside=named)):
        return Asked(digest)
    return Asked(digest, tuple(problem for gate in _gates for problem in gate(document, pipeline.team, beside)))
