"""The iterations of a loop: how many begin now, and when it is over."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pipelines.actions.base import Child, ChildResult, Fail, Input, Joined, Outcome, Spawn
from pipelines.actions.inside import rounds
from pipelines.actions.settling import Standing, come_again, holds, join_is_met, standing, wake_at, with_left
from pipelines.definition.blocks import Loop
from pipelines.definition.program import Step


def next_iteration(step: Step, block: Loop, visit: Input, deadline: datetime | None) -> Outcome:
    """Start the next iterations, go on waiting, or leave the loop."""
    exported = _exported(block, visit.children)
    context = with_left(visit.context, outputs=_last(visit.children), exported=exported)
    plan = _items(step, block, visit)
    if isinstance(plan, Fail):
        return plan
    begun = len(visit.children)
    total = begun if plan is None else len(plan)
    counts = standing(visit.children, total)
    if block.on_branch_error == "fail" and not block.tolerate.allows(failed=counts.failed, total=total):
        return _error(block, visit.children, exported, counts)
    if block.join != "all" and join_is_met(block.join, counts, context):
        return _joined(block, visit.children, exported, counts)
    returning = come_again(visit.children, block.concurrency)
    starting = _to_start(block, plan, context, counts, begun, returning.room)
    if isinstance(starting, Fail):
        return starting
    still_open = returning.open + len(starting)
    if still_open == 0:
        if block.on_branch_error != "ignore" and not block.tolerate.allows(failed=counts.failed, total=total):
            return _error(block, visit.children, exported, counts)
        return _joined(block, visit.children, exported, counts)
    pending = returning.waiting or plan is None or begun + len(starting) < len(plan)
    return Spawn(
        children=tuple(starting),
        wake_at=wake_at(block.join, counts, still_open, pending=pending),
        deadline=deadline,
        exported=exported,
        kept={} if begun else _kept(step, visit, plan, len(starting)),
        again=returning.again,
    )


def kept_name(step: Step) -> str:
    """Under which a loop keeps its items: no name that an expression could read."""
    return f"items of {step.key}"


def _kept(step: Step, visit: Input, plan: list[Any] | None, starting: int) -> dict[str, Any]:
    """The items for the rounds to come, in the place of those of an earlier visit."""
    if plan is not None and starting < len(plan):
        return {kept_name(step): plan}
    return {kept_name(step): None} if visit.context.get(kept_name(step)) is not None else {}


def _items(step: Step, block: Loop, visit: Input) -> list[Any] | Fail | None:
    """What the loop goes over, as it was at the beginning; None where only a condition knows the end."""
    if block.goes_by_condition:
        return None
    if visit.children:
        kept = visit.context.get(kept_name(step))
        # Nothing is kept where all began at once; what they went over may be another list by now.
        return kept if isinstance(kept, list) else [None] * len(visit.children)
    if block.over is not None:
        found = block.over.evaluate(visit.context)
        items = list(found) if isinstance(found, list | tuple) else [] if found is None else None
        if items is None:
            return Fail("`over` is not a list.", code="validation")
    else:
        count = block.times.evaluate(visit.context) if block.times is not None else 0
        if isinstance(count, bool) or not isinstance(count, int | float) or count != int(count) or count < 0:
            return Fail("`times` is not a whole number from 0.", code="validation")
        if count > block.max:
            return Fail(f"The loop would run {int(count)} times; at most {block.max} are allowed.", code="too_many")
        items = list(range(int(count)))
    if len(items) > block.max:
        return Fail(f"The loop would run {len(items)} times; at most {block.max} are allowed.", code="too_many")
    return items


def _to_start(
    block: Loop, plan: list[Any] | None, context: Mapping[str, Any], counts: Standing, begun: int, room: int
) -> list[Child] | Fail:
    if plan is not None:
        return [_child(block, slot, plan[slot]) for slot in range(begun, min(len(plan), begun + room))]
    starting: list[Child] = []
    while len(starting) < room and _goes_on(block, context, begun + len(starting)):
        if begun + len(starting) >= block.max:
            if counts.open or starting:
                break
            return Fail(f"The loop did not end within {block.max} rounds.", code="too_many")
        starting.append(_child(block, begun + len(starting), None))
    return starting


def _goes_on(block: Loop, context: Mapping[str, Any], index: int) -> bool:
    at = {**context, block.index: index}
    if block.while_ is not None:
        return holds(block.while_, at, what="while")
    return block.until is not None and (index == 0 or not holds(block.until, at, what="until"))


def _child(block: Loop, slot: int, item: Any) -> Child:
    names: dict[str, Any] = {block.index: slot}
    if block.item is not None:
        names[block.item] = item
    return Child(scope=block.scope, slot=slot, locals=names)


def _exported(block: Loop, children: Sequence[ChildResult]) -> dict[str, Any]:
    """Exported variables of those that ended; the last index wins."""
    found: dict[str, Any] = {}
    for child in children:
        if child.finished:
            found.update({name: child.vars[name] for name in block.export if name in child.vars})
    return found


def left_by_rounds(step: Step, block: Loop, visit: Input) -> dict[str, Any]:
    """What the rounds left so far: the output of the loop, the outputs of the steps inside, and exported variables."""
    plan = _items(step, block, visit)
    total = len(plan) if isinstance(plan, list) else len(visit.children)
    return _left(visit.children, _exported(block, visit.children), standing(visit.children, total))


def _left(children: Sequence[ChildResult], exported: Mapping[str, Any], counts: Standing) -> dict[str, Any]:
    return {"exported": exported, "output": _output(children, counts), "outputs": _last(children)}


def _joined(block: Loop, children: Sequence[ChildResult], exported: Mapping[str, Any], counts: Standing) -> Joined:
    return Joined(cancel_rest=block.cancel_rest, **_left(children, exported, counts))


def _error(block: Loop, children: Sequence[ChildResult], exported: Mapping[str, Any], counts: Standing) -> Joined:
    sentence = rounds(children, planned=None if block.goes_by_condition else counts.total)
    return Joined(outcome="error", error=sentence, code="branch", **_left(children, exported, counts))


def _output(children: Sequence[ChildResult], counts: Standing) -> dict[str, Any]:
    items = [
        {**child.outputs, "index": child.slot, "status": child.status, "outcome": child.outcome} for child in children
    ]
    return {"items": items, **counts.as_names()}


def _last(children: Sequence[ChildResult]) -> dict[str, Any]:
    """Outputs of the steps inside, as the last round left them."""
    return {key: output for child in children if child.finished for key, output in child.outputs.items()}
