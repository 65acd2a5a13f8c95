"""What else must hold before a document is published; asked by publishing, known by what stands above it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from crm.models import Team
from pipelines.definition.document import Problem

Gate = Callable[[Mapping[str, Any], Team], list[Problem]]

_gates: Final[list[Gate]] = []


def register_gate(gate: Gate) -> None:
    """Ask this whenever a checked document is about to be published; what it answers refuses it."""
    if gate not in _gates:
        _gates.append(gate)


def ask_gates(document: Mapping[str, Any], team: Team) -> list[Problem]:
    """Every objection to publishing this document."""
    return [problem for gate in _gates for problem in gate(document, team)]
