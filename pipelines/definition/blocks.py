"""Blocks: steps that open lists of their own, as branches side by side or as a body run many times."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .conditions import Condition, compile_condition
from .layout import scope_name
from .values import Value, compile_value

# Kinds of steps that go on with what runs inside them leaves.
BLOCKS = frozenset({"parallel", "loop", "call"})
MOST_ITERATIONS = 1_000
INDEX = "index"
ITEM = "item"
# What a `join: {"when": …}` may look at beside everything that the block itself may read.
JOIN_NAMES = frozenset({"total", "completed", "failed", "skipped", "open"})

Path = tuple[str, ...]
After: TypeAlias = tuple[tuple[str, str | None], ...]
Join: TypeAlias = Literal["all", "any"] | int | Condition
OnBranchError: TypeAlias = Literal["fail", "wait", "ignore"]


@dataclass(frozen=True, slots=True)
class Branch:
    """One list of steps of a parallel block.

    It starts when every branch named in `after` is settled and at least one of them completed, with
    the given outcome where one is given; else it is skipped. Without `after` it starts at once. It
    sees the outputs, and the exported variables, of the branches it comes after.
    """

    name: str
    scope: str
    guard: Condition | None = None
    after: After = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How many failures a loop bears: a count, or a share from 0 to 1 of all iterations."""

    count: int = 0
    share: float | None = None

    def allows(self, *, failed: int, total: int) -> bool:
        """Whether that many failures among all iterations are still borne."""
        return failed <= (self.count if self.share is None else self.share * total)


@dataclass(frozen=True, slots=True)
class Parallel:
    """Branches side by side, and when the block is over."""

    branches: tuple[Branch, ...]
    join: Join = "all"
    cancel_rest: bool = True
    on_branch_error: OnBranchError = "fail"
    concurrency: int | None = None
    export: tuple[str, ...] = ()

    @property
    def paths(self) -> frozenset[Path]:
        """What the block itself reads."""
        return _paths(self.join, *(branch.guard for branch in self.branches))


@dataclass(frozen=True, slots=True)
class Loop:
    """A body run once per item, a number of times, while a condition holds or until one does.

    Exactly one of `over`, `times`, `while_` and `until` is given; `until` runs the body first.
    """

    scope: str
    over: Value | None = None
    times: Value | None = None
    while_: Condition | None = None
    until: Condition | None = None
    item: str | None = None
    index: str = INDEX
    max: int = MOST_ITERATIONS
    concurrency: int = 1
    join: Join = "all"
    cancel_rest: bool = True
    on_branch_error: OnBranchError = "fail"
    tolerate: Tolerance = Tolerance()
    export: tuple[str, ...] = ()

    @property
    def paths(self) -> frozenset[Path]:
        """What the block itself reads."""
        return _paths(self.over, self.times, self.while_, self.until, self.join)

    @property
    def goes_by_condition(self) -> bool:
        """Whether nobody knows before how many rounds there will be."""
        return self.over is None and self.times is None


Block: TypeAlias = Parallel | Loop


def block_of(*, kind: str, key: str, parameters: Mapping[str, Any]) -> Block | None:
    """The block that a checked step opens, from its parameters without the steps inside."""
    if kind == "parallel":
        return _parallel(key, parameters)
    return _loop(key, parameters) if kind == "loop" else None


def local_names(step: Mapping[str, Any]) -> frozenset[str]:
    """The names that exist only inside a block: the item of a loop and its index."""
    if step.get("type") != "loop":
        return frozenset()
    given = step.get("with")
    given = given if isinstance(given, Mapping) else {}
    names = {given.get("index", INDEX)}
    if "over" in given:
        names.add(given.get("as", ITEM))
    return frozenset(name for name in names if isinstance(name, str))


def _parallel(key: str, given: Mapping[str, Any]) -> Parallel:
    return Parallel(
        branches=tuple(_branch(key, branch) for branch in given["branches"]),
        join=_join(given.get("join", "all")),
        cancel_rest=given.get("cancel_rest", True),
        on_branch_error=given.get("on_branch_error", "fail"),
        concurrency=given.get("concurrency"),
        export=tuple(given.get("export", ())),
    )


def _branch(key: str, given: Mapping[str, Any]) -> Branch:
    return Branch(
        name=given["name"],
        scope=scope_name(key, given["name"]),
        guard=_condition(given, "if"),
        after=tuple(split_after(text) for text in given.get("after", ())),
        optional=given.get("optional", False),
    )


def split_after(text: str) -> tuple[str, str | None]:
    """The branch that an entry of `after` names, and the outcome it asks for."""
    name, colon, outcome = text.partition(":")
    return name, outcome if colon else None


def _loop(key: str, given: Mapping[str, Any]) -> Loop:
    return Loop(
        scope=scope_name(key, ""),
        over=_value(given, "over"),
        times=_value(given, "times"),
        while_=_condition(given, "while"),
        until=_condition(given, "until"),
        item=given.get("as", ITEM) if "over" in given else None,
        index=given.get("index", INDEX),
        max=given.get("max", MOST_ITERATIONS),
        concurrency=given.get("concurrency", 1),
        join=_join(given.get("join", "all")),
        cancel_rest=given.get("cancel_rest", True),
        on_branch_error=given.get("on_branch_error", "fail"),
        tolerate=_tolerance(given.get("tolerate", 0)),
        export=tuple(given.get("export", ())),
    )


def _join(value: Any) -> Join:
    if isinstance(value, Mapping):
        return compile_condition(value["when"])
    join: Join = value
    return join


def _tolerance(value: int | str) -> Tolerance:
    if isinstance(value, str):
        return Tolerance(share=int(value.removesuffix("%")) / 100)
    return Tolerance(count=value)


def _condition(given: Mapping[str, Any], name: str) -> Condition | None:
    return compile_condition(given[name]) if name in given else None


def _value(given: Mapping[str, Any], name: str) -> Value | None:
    return compile_value(given[name]) if name in given else None


def _paths(*parts: object) -> frozenset[Path]:
    return frozenset[Path]().union(*(part.paths for part in parts if isinstance(part, Value | Condition)))
