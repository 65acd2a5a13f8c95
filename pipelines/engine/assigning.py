"""What a visit writes into the variables of its run, held to the types that the pipeline declares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.definition.program import Program, Step
from pipelines.definition.values import ParameterError
from pipelines.definition.variables import MisfitError, held
from pipelines.engine.plain import plain


@dataclass(slots=True)
class Assigned:
    """The values that `set` of a step comes to, and sentences about those that could not be had."""

    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    # A value of another type than its variable: then the step did not do what it says.
    wrong: str = ""


NOTHING = Assigned()


def set_by(step: Step, program: Program, context: Mapping[str, Any], *, brought_nothing: bool) -> Assigned:
    """Work `set` out in order, each value seeing those before; a failed or skipped step wipes nothing out."""
    if not step.assign:
        return NOTHING
    found, seen = Assigned(), dict(context)
    for name, value in step.assign.items():
        try:
            result = value.evaluate(seen)
            kept = plain(held(program.types, {name: result}))
        except ParameterError as error:
            found.notes.append(f"set {name}: {error}")
        except MisfitError as error:
            found.notes.append(f"set.{error}")
            found.wrong = found.wrong or f"set.{error}"
        else:
            if result is None and brought_nothing:
                continue
            found.values |= kept
            seen[name] = result
    return found


def written(step: Step, program: Program, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values that a step writes as its work; raises MisfitError whose name is the path inside the step."""
    try:
        kept: dict[str, Any] = plain(held(program.types, values))
    except MisfitError as error:
        nested = isinstance(step.raw.get("values"), Mapping) and len(step.raw) == 1
        raise MisfitError(f"with.values.{error.name}" if nested else f"with.{error.name}", error.message) from None
    return kept
