"""Exit rules and goals of a version, compiled once: which event ends a run, and which one counts as success."""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.definition.conditions import Condition, compile_condition
from pipelines.definition.durations import parse_duration
from pipelines.definition.values import Value, compile_value
from pipelines.models import PipelineVersion
from pipelines.states import RunStatus

UPDATED = "updated"
CACHE_SIZE = 2_000


@dataclass(frozen=True, slots=True)
class ExitRule:
    """Ends a run wherever it is; without an event it looks at every change of the subject."""

    event: str
    match: Mapping[str, Value]
    where: Condition | None
    status: RunStatus
    reason: str


@dataclass(frozen=True, slots=True)
class Goal:
    """Counts once for each run; `within` seconds after it began, also when the run is over."""

    key: str
    event: str
    where: Condition | None
    value: Value | None
    within: float | None
    exits: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """What a version listens to."""

    exits: tuple[ExitRule, ...]
    goals: tuple[Goal, ...]

    @property
    def events(self) -> frozenset[str]:
        return frozenset({rule.event for rule in self.exits} | {goal.event for goal in self.goals})


_rules: OrderedDict[int, Rules] = OrderedDict()


def rules_of(version_ids: Collection[int]) -> dict[int, Rules]:
    """The rules of these versions; a published version never changes, so neither do they."""
    missing = [pk for pk in version_ids if pk not in _rules]
    if missing:
        rows = PipelineVersion.objects.filter(pk__in=missing).values_list("pk", "document__exit", "document__goals")
        for pk, exits, goals in rows:
            _rules[pk] = Rules(
                exits=tuple(_exit(rule) for rule in exits or ()), goals=tuple(_goal(goal) for goal in goals or ())
            )
    found = {pk: _rules[pk] for pk in version_ids if pk in _rules}
    while len(_rules) > CACHE_SIZE:
        _rules.popitem(last=False)
    return found


def forget_rules() -> None:
    """Empty the cache; only tests that rebuild the database need it."""
    _rules.clear()


def _exit(rule: Mapping[str, Any]) -> ExitRule:
    event = rule.get("event") or UPDATED
    return ExitRule(
        event=event,
        match={name: compile_value(value) for name, value in (rule.get("match") or {}).items()},
        where=_condition(rule),
        status=RunStatus[str(rule.get("status", "completed")).upper()],
        reason=str(rule.get("reason") or event)[:60],
    )


def _goal(goal: Mapping[str, Any]) -> Goal:
    within = goal.get("within")
    return Goal(
        key=goal["key"],
        event=goal["event"],
        where=_condition(goal),
        value=compile_value(goal["value"]) if "value" in goal else None,
        within=None if within is None else parse_duration(within),
        exits=bool(goal.get("exit", False)),
    )


def _condition(rule: Mapping[str, Any]) -> Condition | None:
    return compile_condition(rule["where"]) if rule.get("where") not in (None, []) else None
