"""What becomes of a run that stands before a step when another version takes over: one rule for all who ask."""

from dataclasses import dataclass
from typing import Literal

from .blocks import Block, Loop, Parallel
from .delays import Delay
from .program import Program, Step

Kind = Literal["stay", "retime", "pass_on", "complete"]


@dataclass(frozen=True, slots=True)
class Fate:
    """Where a run stands afterwards, and how its time changes.

    `delta` is in seconds, to be added to the due time; None with "retime" or "pass_on" means that the
    time must be worked out again, because one of the two delays is more than a fixed wait.
    """

    kind: Kind
    step_id: int | None = None
    delta: float | None = 0.0


def fate(step_id: int, *, old: Program, new: Program) -> Fate:
    """What becomes of a run of the old version that waits before this step at the top level."""
    here, there = old.by_id.get(step_id), standing(new, step_id)
    if there is not None:
        if here is None or same_rule(here.delay, there.delay):
            return Fate("stay", step_id)
        return Fate("retime", step_id, difference(here.delay, there.delay))
    heir = successor(here, old=old, new=new) if here is not None else None
    if here is None or heir is None:
        return Fate("complete")
    return Fate("pass_on", heir.id, difference(here.delay, heir.delay))


def successor(gone: Step, *, old: Program, new: Program) -> Step | None:
    """The nearest step from this one on that is still there, along the edges of the old version.

    What moved into a block is still there in the block, and what a removed block held may be there on its own.
    """
    ahead = _ahead(gone, old)
    seen: set[int] = set()
    step: Step | str = gone
    while isinstance(step, Step) and step.id not in seen:
        seen.add(step.id)
        found = _heir(step, ahead, old=old, new=new)
        if found is not None:
            return found
        step = old.target(step, "skipped" if "skipped" in step.on else "next")
    return None


def _heir(step: Step, ahead: set[int], *, old: Program, new: Program) -> Step | None:
    """The first step on the top level that holds now what this step was, and nothing that the run has passed."""
    wanted = {step.id} | {each.id for each in old.steps if each.scope and top_of(each, old) is step}
    passed = {each.id for each in old.steps if top_of(each, old).id not in ahead}
    for there in new.scopes[""]:
        held = {there.id} | {each.id for each in new.steps if each.scope and top_of(each, new) is there}
        if held & wanted and not held & passed:
            return there
    return None


def _ahead(step: Step, program: Program) -> set[int]:
    """The steps of the top level that a run before this one may still come to, itself among them."""
    found: set[int] = set()
    open_: list[Step | str] = [step]
    while open_:
        here = open_.pop()
        if isinstance(here, Step) and here.id not in found:
            found.add(here.id)
            open_ += [program.target(here, outcome) for outcome in ("next", *here.on)]
    return found


def top_of(step: Step, program: Program) -> Step:
    """The step of the top level that a step stands in, or itself; a list is named after its block."""
    while step.scope:
        step = program.by_key[step.scope.partition(".")[0]]
    return step


def standing(program: Program, step_id: int) -> Step | None:
    """The step of that identity, if it is on the top level: only there runs stand that follow versions."""
    found = program.by_id.get(step_id)
    return found if found is not None and found.scope == "" else None


def repeatable(old: Program, new: Program, step_id: int, *, begun: bool) -> bool:
    """Whether a run that failed at a step of the old version can try it again in the new one.

    It has to stand where it stood, and a block that has `begun` what it opens must tell its children apart as before:
    branches by their names and places, rounds by a list or by a condition.
    """
    here, there = old.by_id.get(step_id), new.by_id.get(step_id)
    if here is None or there is None or (here.kind, here.scope) != (there.kind, there.scope):
        return False
    return not begun or _tells_apart_alike(here.block, there.block)


def _tells_apart_alike(before: Block | None, now: Block | None) -> bool:
    if isinstance(before, Parallel) and isinstance(now, Parallel):
        names = [branch.name for branch in before.branches]
        return [branch.name for branch in now.branches][: len(names)] == names
    if isinstance(before, Loop) and isinstance(now, Loop):
        return before.goes_by_condition == now.goes_by_condition
    return before is None and now is None


def same_rule(first: Delay, second: Delay) -> bool:
    """Whether two delays are the same rule, however they are spelled."""
    if first.is_plain_seconds and second.is_plain_seconds:
        return first.seconds == second.seconds
    return first.source == second.source


def difference(old: Delay, new: Delay) -> float | None:
    """Seconds between two fixed waits; None when one of them is more than that."""
    if not (old.is_plain_seconds and new.is_plain_seconds) or old.seconds is None or new.seconds is None:
        return None
    return new.seconds - old.seconds
