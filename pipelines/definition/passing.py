"""Who has passed a place: the visits that lead to a step, and the steps from which it can still be reached."""

from collections.abc import Collection
from dataclasses import dataclass

from .program import Program, Step
from .succession import top_of


@dataclass(frozen=True, slots=True)
class Way:
    """A visit of one step that leads on to another: by these outcomes, or by every outcome but `others`."""

    step_id: int
    named: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Came:
    """How runs come to a step: at their very start, by a visit that leads there, or past a newer step.

    `past` names steps that may be younger than a run: who never visited one came here if they came to it.
    """

    at_start: bool
    ways: tuple[Way, ...] = ()
    past: tuple[tuple[int, "Came"], ...] = ()


def came_to(step: Step, *, program: Program, oldest: frozenset[int]) -> Came:
    """How runs come to a step of the top level; `oldest` are the steps that were there from the beginning."""
    return _came(step, program, oldest, frozenset())


def _came(step: Step, program: Program, oldest: frozenset[int], seen: frozenset[int]) -> Came:
    ways: list[Way] = []
    past: list[tuple[int, Came]] = []
    for before in program.scopes[""]:
        way = _way(before, step, program)
        if way is None:
            continue
        ways.append(way)
        if before.id not in oldest and before.id not in seen:
            past.append((before.id, _came(before, program, oldest, seen | {step.id, before.id})))
    return Came(step.id == program.first.id, tuple(ways), tuple(past))


def _way(before: Step, step: Step, program: Program) -> Way | None:
    given = {"error", *before.on}
    named = frozenset(outcome for outcome in given if program.target(before, outcome) == step)
    if "next" not in before.on and program.target(before, "next") == step:
        return Way(before.id, others=frozenset(given - named))
    return Way(before.id, named=named) if named else None


def still_ahead(step: Step, *, program: Program) -> frozenset[int]:
    """The steps of the top level from which a run may still come to this one, itself included."""
    found = {step.id}
    while True:
        nearer = {each.id for each in program.scopes[""] if each.id not in found and _leads(each, found, program)}
        if not nearer:
            return frozenset(found)
        found |= nearer


def may_come_to(wanted: Collection[int], *, standing: int, program: Program) -> bool:
    """Whether a run that stands at a step of the top level may still come to one of these, wherever they stand."""
    tops = {top_of(program.by_id[pk], program).id for pk in wanted if pk in program.by_id}
    return any(standing in still_ahead(program.by_id[pk], program=program) for pk in tops)


def _leads(step: Step, goals: set[int], program: Program) -> bool:
    targets = [program.target(step, outcome) for outcome in ("next", *step.on)]
    return any(isinstance(target, Step) and target.id in goals for target in targets)
