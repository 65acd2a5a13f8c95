"""What a publish would change and do, told before it happens: the same plan that the publish acts out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from pipelines.actions.registry import kinds
from pipelines.definition.canonical import checksum
from pipelines.definition.document import Problem
from pipelines.definition.layout import every_place
from pipelines.definition.program import Program, Step, compile_program
from pipelines.definition.structuring import structured
from pipelines.documents import document_of
from pipelines.engine.clock import engine_now
from pipelines.engine.programs import programs
from pipelines.models import Pipeline
from pipelines.operations.checking import validate_document
from pipelines.operations.planning import (
    Group,
    Move,
    Moved,
    Policy,
    census,
    counted,
    default_policy,
    move_of,
    plan,
)

What = Literal["stays", "retimed", "passed_on", "completes", "finishes_first", "keeps_time", "pinned", "cancelled"]

_AT_REST: Final[Mapping[What, str]] = {
    "stays": "They stay here and keep their time.",
    "finishes_first": "They finish this step as they began it, then go on in the new version.",
    "keeps_time": "They are paused or try this step again: they keep their time, then go on in the new version.",
    "pinned": "They stay on the version they have.",
    "cancelled": "They end here.",
}


@dataclass(frozen=True, slots=True)
class Line:
    """Runs that stand at one step and share what will happen to them."""

    step: str
    name: str
    count: int
    what: What
    to: str = ""
    to_name: str = ""
    before: str = ""
    after: str = ""
    due_before: tuple[datetime, datetime] | None = None
    due_after: tuple[datetime, datetime] | None = None
    # All of them have waited long enough by then.
    at_once: bool = False

    @property
    def words(self) -> str:
        """What happens to them, in one sentence."""
        match self.what:
            case "retimed":
                return f"Their wait changes: {self.before} → {self.after}."
            case "passed_on":
                return f"This step goes: they are passed on to “{self.to_name}”."
            case "completes":
                return "This step goes and nothing comes after it: they complete."
            case _:
                return _AT_REST[self.what]


@dataclass(frozen=True, slots=True)
class Preview:
    """A publish that has not happened: problems, the runs by step, and the totals it will report."""

    changes_anything: bool
    policy: Policy
    number: int
    problems: tuple[Problem, ...]
    lines: tuple[Line, ...]
    moved: Moved

    @property
    def on_the_way(self) -> int:
        """Runs that have not ended, children left out."""
        return sum(line.count for line in self.lines)

    @property
    def touches_runs(self) -> bool:
        """Whether anybody on the way will notice: a time that changes, a step that goes, an early end."""
        return any(self.moved.as_details().values())


def preview(
    *,
    pipeline: Pipeline,
    document: Mapping[str, Any] | None = None,
    policy: Policy | None = None,
    now: datetime | None = None,
) -> Preview:
    """What publishing the rows, or another document, would do now; a fixed number of statements.

    Nothing is written. Two statements stand between this and the publish, so runs may move meanwhile:
    the publish plans again, by the same rule.
    """
    chosen = policy or default_policy(pipeline)
    wanted = document_of(pipeline) if document is None else document
    problems = tuple(validate_document(wanted, pipeline.team))
    current = pipeline.current_version
    number = 1 if current is None else pipeline.versions.order_by("-number").values_list("number", flat=True)[0] + 1
    broken = any(problem.severity == "error" for problem in problems)
    same = not broken and current is not None and current.checksum == checksum(wanted)
    if broken or same:
        return Preview(not same, chosen, number, problems, (), Moved())
    groups = census(pipeline)
    new = _program(pipeline, wanted)
    moves = plan(groups, new=new)
    lines = tuple(_lines(groups, moves, new=new, policy=chosen, now=now or engine_now()))
    return Preview(True, chosen, number, problems, lines, counted(groups, moves, policy=chosen))


def _program(pipeline: Pipeline, document: Mapping[str, Any]) -> Program:
    """The program as the publish would compile it; steps without a row yet get negative ids."""
    ids = dict(pipeline.steps.values_list("key", "pk"))
    built = structured(document, kinds=kinds())
    keys = [place.key for place in every_place(built)]
    made = {key: -1 - position for position, key in enumerate(keys) if key not in ids}
    return Program.load(compile_program(built, step_ids={**ids, **made}))


def _lines(
    groups: Sequence[Group], moves: Sequence[Move], *, new: Program, policy: Policy, now: datetime
) -> Iterator[Line]:
    old = programs({group.version_id for group in groups})
    told: dict[tuple[object, ...], Line] = {}
    for group in groups:
        if group.standing == "child":
            continue
        loaded = old.get(group.version_id)
        step = loaded.program.by_id.get(group.step_id or 0) if loaded else None
        line = _line(group, step, move_of(group, moves), new=new, policy=policy, now=now)
        key = (line.step, line.what, line.to, line.before, line.after)
        told[key] = line if key not in told else _joined(told[key], line)
    order = {step.key: position for position, step in enumerate(new.steps)}
    yield from sorted(told.values(), key=lambda line: (order.get(line.step, -1), line.what))


def _line(group: Group, step: Step | None, move: Move | None, *, new: Program, policy: Policy, now: datetime) -> Line:
    key, name = (step.key, step.name or step.key) if step else ("", "a step that was removed")
    due = (group.first_due, group.last_due) if group.first_due and group.last_due else None
    plain = Line(key, name, group.count, _at_rest(group, policy), due_before=due)
    if policy != "follow" or move is None or move.fate.kind == "stay":
        return plain
    if move.fate.kind == "complete":
        return Line(key, name, group.count, "completes", due_before=due)
    there = new.by_id[move.fate.step_id or 0]
    passed_on = move.fate.kind == "pass_on"
    shifted = _shifted(due, move.fate.delta, now)
    return Line(
        step=key,
        name=name,
        count=group.count,
        what="passed_on" if passed_on else "retimed",
        to=there.key if passed_on else "",
        to_name=there.name or there.key if passed_on else "",
        before=_wait(step) if step else "",
        after=_wait(there),
        due_before=due,
        due_after=shifted,
        at_once=shifted == (now, now),
    )


def _wait(step: Step) -> str:
    return step.delay.describe().removesuffix(" after the previous step")


def _at_rest(group: Group, policy: Policy) -> What:
    if policy == "cancel":
        return "cancelled"
    if policy == "pin":
        return "pinned"
    if group.standing == "inside":
        return "finishes_first"
    return "keeps_time" if group.standing in ("retrying", "paused") else "stays"


def _shifted(
    due: tuple[datetime, datetime] | None, delta: float | None, now: datetime
) -> tuple[datetime, datetime] | None:
    if due is None or delta is None:
        return None
    first, last = (max(moment + timedelta(seconds=delta), now) for moment in due)
    return first, last


def _joined(one: Line, other: Line) -> Line:
    """The same fate from two versions is one line."""
    return Line(
        step=one.step,
        name=one.name,
        count=one.count + other.count,
        what=one.what,
        to=one.to,
        to_name=one.to_name,
        before=one.before,
        after=one.after,
        due_before=_span(one.due_before, other.due_before),
        due_after=_span(one.due_after, other.due_after),
        at_once=one.at_once and other.at_once,
    )


def _span(
    one: tuple[datetime, datetime] | None, other: tuple[datetime, datetime] | None
) -> tuple[datetime, datetime] | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])
