"""How the branches of a block stand, which of them may start, and when the block is over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.actions.base import NOT_REACHED, Child, ChildResult, Input, Joined, Outcome, Spawn
from pipelines.actions.inside import MOST_TOLD, told
from pipelines.definition.blocks import Branch, Join, Parallel
from pipelines.definition.conditions import Condition
from pipelines.definition.program import Step
from pipelines.definition.values import ParameterError


@dataclass(frozen=True, slots=True)
class Standing:
    """Counts of the children of one visit."""

    total: int
    completed: int
    failed: int
    skipped: int
    open: int

    @property
    def is_settled(self) -> bool:
        return self.open == 0 and self.completed + self.failed + self.skipped >= self.total

    def as_names(self) -> dict[str, int]:
        return {
            "total": self.total, "completed": self.completed, "failed": self.failed,
            "skipped": self.skipped, "open": self.open,
        }  # fmt: skip


def standing(children: Sequence[ChildResult], total: int, failed: int | None = None) -> Standing:
    """Count children; those called off count as failed unless somebody counted before."""
    ended = [child for child in children if child.finished]
    completed = sum(1 for child in ended if child.completed)
    skipped = sum(1 for child in ended if child.skipped)
    return Standing(total, completed, len(ended) - completed - skipped, skipped, len(children) - len(ended))


def join_is_met(join: Join, counts: Standing, context: Mapping[str, Any]) -> bool:
    """Whether enough children have ended for the block to be over."""
    if join == "all":
        return counts.is_settled
    if join == "any":
        return counts.completed >= 1
    if isinstance(join, int):
        return counts.completed >= join
    if isinstance(join, str):
        return counts.is_settled
    return holds(join, {**context, **counts.as_names()}, what="join")


def holds(condition: Condition, context: Mapping[str, Any], *, what: str) -> bool:
    """Whether a condition of a block is met; raises ParameterError, naming `what` it is, where that cannot be told."""
    verdict = condition.evaluate(context)
    if verdict.error:
        raise ParameterError(what, verdict.error)
    return verdict.met


def with_left(
    context: Mapping[str, Any], *, outputs: Mapping[str, Any], exported: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What the conditions of a block read: all that is known around it, and what its children left so far."""
    if not outputs and not exported:
        return context
    known = {**context, **exported, "vars": {**context["vars"], **exported}}
    return {**known, "steps": {**context["steps"], **outputs}}


def wake_at(join: Join, counts: Standing, still_open: int, *, pending: bool) -> int:
    """How many may be open when the block is looked at again: as few as can matter."""
    if still_open == 0:
        return 0
    if pending or join == "any" or not isinstance(join, str | int):
        return still_open - 1
    if isinstance(join, int):
        return max(0, still_open - max(1, join - counts.completed))
    return 0


@dataclass(frozen=True, slots=True)
class Returning:
    """Of the children that failed before, those that are tried again now: the ids of their runs."""

    again: tuple[int, ...]
    # Whether others of them wait for their turn.
    waiting: bool
    # How many are open with them, and how many others may begin beside these.
    open: int
    room: int


def come_again(children: Sequence[ChildResult], most: int) -> Returning:
    """Who is tried again, where at most so many may be open at once."""
    running = sum(child.running for child in children)
    failed = tuple(child.run_id for child in children if child.again)
    again = failed[: max(0, most - running)]
    taken = running + len(again)
    return Returning(again, len(again) < len(failed), taken, max(0, most - taken))


def next_branches(step: Step, block: Parallel, visit: Input, deadline: datetime | None) -> Outcome:
    """Start the branches whose time has come, go on waiting, or leave the block."""
    known = by_name(block, visit)
    broken = [name for name, child in known.items() if _broken(child) and not _branch(block, name).optional]
    if broken and block.on_branch_error == "fail":
        return _error(block, visit, known, _sentence(broken[:1], known))
    counts = standing(list(known.values()), len(block.branches))
    left = left_by(block, known)
    if join_is_met(block.join, counts, with_left(visit.context, outputs=left["outputs"], exported=left["exported"])):
        # Only a join that asks for all of them is spoiled by one; another is met whoever ends last.
        if block.join == "all" and broken and block.on_branch_error == "wait":
            return _error(block, visit, known, _sentence(broken, known))
        return _joined(block, visit, known)
    most = len(block.branches) if block.concurrency is None else block.concurrency
    returning = come_again(visit.children, most)
    starting, skipped = _to_start(block, visit, known, returning.room)
    still_open = returning.open + len(starting)
    if still_open == 0:
        return _all_settled(block, visit, known, skipped, broken)
    pending = returning.waiting or len(known) + len(starting) + len(skipped) < len(block.branches)
    return Spawn(
        children=(*starting, *skipped),
        wake_at=wake_at(block.join, counts, still_open, pending=pending),
        deadline=deadline,
        again=returning.again,
    )


def by_name(block: Parallel, visit: Input) -> dict[str, ChildResult]:
    """The branches that have begun or were skipped."""
    return {block.branches[child.slot].name: child for child in visit.children if child.slot < len(block.branches)}


def _all_settled(
    block: Parallel,
    visit: Input,
    known: Mapping[str, ChildResult],
    skipped: Sequence[Child],
    broken: Sequence[str],
) -> Outcome:
    """Nothing can start any more: an error where too few completed and some failed."""
    if broken and block.on_branch_error != "ignore":
        return _error(block, visit, known, _sentence(broken, known))
    return _joined(block, visit, known, skipped)


def _sentence(broken: Sequence[str], known: Mapping[str, ChildResult]) -> str:
    sentences = [told(f"The branch {name}", known[name]) for name in broken[:MOST_TOLD]]
    if rest := broken[MOST_TOLD:]:
        sentences.append(f"So did {', '.join(rest)}.")
    return " ".join(sentences)


def _to_start(
    block: Parallel, visit: Input, known: Mapping[str, ChildResult], room: int
) -> tuple[list[Child], list[Child]]:
    """Branches that start now and those that are skipped, as far as this can be said now."""
    settled: dict[str, ChildResult | None] = {name: child for name, child in known.items() if child.finished}
    starting: list[Child] = []
    skipped: dict[str, Child] = {}
    again = True
    while again:
        again = False
        for slot, branch in enumerate(block.branches):
            begun = branch.name in known or branch.name in skipped or any(each.slot == slot for each in starting)
            if begun or any(name not in settled for name, _ in branch.after):
                continue
            reason = _skip(branch, settled, visit)
            if reason:
                skipped[branch.name] = Child(scope=branch.scope, slot=slot, skipped=reason)
                settled[branch.name] = None
                again = True
            elif room > 0:
                starting.append(_child(block, branch, slot, known))
                room -= 1
    return starting, list(skipped.values())


def _skip(branch: Branch, settled: Mapping[str, ChildResult | None], visit: Input) -> str:
    """Why a branch is skipped whose predecessors are all settled; empty when it starts."""
    if branch.after and not any(_as_wanted(settled[name], outcome) for name, outcome in branch.after):
        return NOT_REACHED
    if branch.guard is None:
        return ""
    return "" if holds(branch.guard, visit.context, what=f"{branch.name}.if") else "condition"


def _as_wanted(child: ChildResult | None, outcome: str | None) -> bool:
    return child is not None and child.completed and (outcome is None or child.outcome == outcome)


def _child(block: Parallel, branch: Branch, slot: int, known: Mapping[str, ChildResult]) -> Child:
    """A branch that comes after others sees what they left."""
    before = [known[name] for name, _ in branch.after if name in known]
    variables = {name: child.vars[name] for child in before for name in block.export if name in child.vars}
    outputs = {key: output for child in before for key, output in child.outputs.items()}
    return Child(scope=branch.scope, slot=slot, vars=variables, outputs=outputs)


def _broken(child: ChildResult) -> bool:
    return child.finished and child.status in ("failed", "cancelled")


def _branch(block: Parallel, name: str) -> Branch:
    return next(branch for branch in block.branches if branch.name == name)


def _joined(block: Parallel, visit: Input, known: Mapping[str, ChildResult], skipped: Sequence[Child] = ()) -> Joined:
    return Joined(cancel_rest=block.cancel_rest, **left_by(block, known, skipped))


def _error(block: Parallel, visit: Input, known: Mapping[str, ChildResult], sentence: str) -> Joined:
    return Joined(outcome="error", error=sentence, code="branch", **left_by(block, known))


def left_by(block: Parallel, known: Mapping[str, ChildResult], skipped: Sequence[Child] = ()) -> dict[str, Any]:
    """What the branches left: the output of the block, the outputs of the steps inside, and exported variables."""
    branches: dict[str, Any] = {
        name: {**child.outputs, "status": "skipped" if child.skipped else child.status, "outcome": child.outcome}
        for name, child in known.items()
    }
    for child in skipped:
        branches[block.branches[child.slot].name] = {"status": "skipped", "outcome": "skipped"}
    finished = [child for child in known.values() if child.finished]
    return {
        "output": {"branches": branches},
        "outputs": {key: output for child in finished for key, output in child.outputs.items()},
        "exported": {name: child.vars[name] for child in finished for name in block.export if name in child.vars},
    }


def late(step: Step, left: Mapping[str, Any]) -> Joined:
    """A block whose time is over keeps what was left by then: its own edge if it has one, else the error `timeout`."""
    if "timeout" in step.on:
        return Joined(outcome="timeout", **left)
    return Joined(outcome="error", error="The block took longer than its timeout.", code="timeout", **left)
