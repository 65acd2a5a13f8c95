"""What a step reads: the fields of the subject, the outputs of other steps and the variables."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .conditions import Condition, ConditionError, compile_condition
from .delays import DelayError, parse_delay
from .layout import own_parameters
from .templates import TemplateError, compile_template
from .values import ParameterError, Value, compile_value

Path = tuple[str, ...]
CONDITION_KEYS = frozenset({"if", "where", "while", "until", "when", "condition"})
# Parameters that are taken as they stand, even if they look like a template.
LITERAL_PARAMETERS = frozenset({("code", "source")})


@dataclass(frozen=True, slots=True)
class Fault:
    """A part of a step that cannot be read, and where it stands inside the step."""

    at: tuple[str | int, ...]
    message: str


@dataclass(slots=True)
class Reads:
    """The dotted paths a step reads, each with the place that reads it, and what is unreadable."""

    paths: list[tuple[Path, tuple[str | int, ...]]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def note(self, at: tuple[str | int, ...], compiled: Callable[[], frozenset[Path]]) -> None:
        """Add the paths of a part, or its fault."""
        try:
            found = compiled()
        except (ParameterError, ConditionError, DelayError) as error:
            self.faults.append(Fault((*at, *_split(error.path)), error.message))
        except TemplateError as error:
            self.faults.append(Fault(at, str(error)))
        else:
            self.paths.extend((path, at) for path in sorted(found))


def parameters_of(step: Mapping[str, Any]) -> Value:
    """The compiled `with` of a step, without the steps inside a block."""
    kind = step.get("type")
    given = own_parameters(step)
    fixed = {key: item for key, item in given.items() if (kind, key) in LITERAL_PARAMETERS}
    if not fixed:
        return compile_value(given)
    worked_out = compile_value({key: item for key, item in given.items() if key not in fixed})
    return Value(
        worked_out.is_constant,
        worked_out.paths,
        lambda context: {**worked_out.evaluate(context), **fixed},
    )


def reads_of(step: Mapping[str, Any]) -> Reads:
    """Everything a step of a document reads itself; the steps inside a block read for themselves."""
    reads = Reads()
    if "delay" in step:
        reads.note(("delay",), lambda: parse_delay(step["delay"]).paths)
    if "if" in step:
        reads.note(("if",), lambda: compile_condition(step["if"]).paths)
    if isinstance(step.get("message"), str):
        reads.note(("message",), lambda: compile_template(step["message"]).paths)
    reads.note(("with",), lambda: parameters_of(step).paths)
    for at, condition in conditions_in(own_parameters(step)):
        note_condition(reads, ("with", *at), condition)
    for name, value in (step.get("set") or {}).items():
        note_value(reads, ("set", name), value)
    return reads


def reads_of_rules(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str, int], Reads]]:
    """What each exit rule and goal of a document reads, with its place."""
    for part in ("exit", "goals"):
        for index, rule in enumerate(document.get(part) or ()):
            reads = Reads()
            if "where" in rule:
                note_condition(reads, ("where",), rule["where"])
            for name in ("match", "value"):
                if name in rule:
                    note_value(reads, (name,), rule[name])
            yield (part, index), reads


def reads_of_trigger(trigger: Mapping[str, Any]) -> Reads:
    """What a way in reads: its condition, what it sets, whom it is about and the key of who may come again."""
    reads = Reads()
    if "where" in trigger:
        note_condition(reads, ("where",), trigger["where"])
    for name in ("set", "subject"):
        if name in trigger:
            note_value(reads, (name,), trigger[name])
    reentry = trigger.get("reentry")
    if isinstance(reentry, Mapping) and "key" in reentry:
        note_value(reads, ("reentry", "key"), reentry["key"])
    return reads


def note_condition(reads: Reads, at: tuple[str | int, ...], condition: object) -> None:
    """Add what a condition reads."""
    reads.note(at, lambda: compile_condition(condition).paths)


def note_value(reads: Reads, at: tuple[str | int, ...], value: object) -> None:
    """Add what a parameter reads."""
    reads.note(at, lambda: compile_value(value).paths)


def conditions_in(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """The conditions among parameters, which are expressions without the sign '='."""
    if len(at) > 20:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in CONDITION_KEYS:
                yield (*at, key), item
            else:
                yield from conditions_in(item, (*at, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from conditions_in(item, (*at, index))


def case_conditions(step: Mapping[str, Any]) -> tuple[tuple[str, Condition], ...]:
    """The named cases of a switch, compiled."""
    if step.get("type") != "switch":
        return ()
    return tuple((case["name"], compile_condition(case["if"])) for case in step["with"]["cases"])


def _split(path: str) -> tuple[str | int, ...]:
    parts = path.replace("[", "/").replace("]", "").replace(".", "/").split("/")
    return tuple(int(part) if part.isdecimal() else part for part in parts if part)
