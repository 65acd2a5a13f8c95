"""When a failed step is tried again: the first matching rule decides."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .durations import parse_duration

_LONGEST_DELAY = 30 * 86_400.0
# What errors are called; actions may have codes of their own beside these.
ERROR_CLASSES = frozenset(
    {"timeout", "connection", "blocked", "http_4xx", "http_5xx", "http_429", "smtp_4xx", "smtp_5xx"}
    | {"branch", "called", "too_many"}
    | {"validation", "expression", "database", "required", "action", "code", "lost", "error"}
)


@dataclass(frozen=True, slots=True)
class Retrier:
    """How often, how long after and for which classes of error a step is tried again.

    `max` counts the tries after the first. The wait grows by the factor `backoff` with every try,
    up to `max_delay`. `jitter` is the share of the wait that chance may take off.
    """

    max: int = 3
    delay: float = 60.0
    backoff: float = 1.0
    max_delay: float | None = None
    jitter: float = 0.0
    on: tuple[str, ...] = ("*",)

    def handles(self, error_class: str) -> bool:
        """Whether the rule is for this class; `*` is for all, `http_*` for a family."""
        return any(error_class.startswith(name[:-1]) if name.endswith("*") else error_class == name for name in self.on)


def parse_retry(value: Any) -> tuple[Retrier, ...]:
    """Read one rule or a list of rules of a document."""
    if value is None:
        return ()
    rules = value if isinstance(value, list | tuple) else [value]
    return tuple(_parse_rule(rule) for rule in rules)


def retry_after(
    retriers: Iterable[Retrier],
    *,
    error_class: str,
    attempt: int,
    rng: random.Random,
) -> float | None:
    """Seconds until the next try, or None when there is none.

    `attempt` is the number of retries already made in this visit.
    """
    rule = next((rule for rule in retriers if rule.handles(error_class)), None)
    if rule is None or attempt >= rule.max:
        return None
    longest = _LONGEST_DELAY if rule.max_delay is None else rule.max_delay
    try:
        wait = min(rule.delay * rule.backoff**attempt, longest)
    except OverflowError:
        wait = longest
    return wait * (1 - rule.jitter * rng.random()) if rule.jitter else wait


def names_known_errors(name: str) -> bool:
    """Whether a name of a rule, such as `timeout`, `http_*` or `*`, is for errors that are known."""
    if name.endswith("*"):
        return any(known.startswith(name[:-1]) for known in ERROR_CLASSES)
    return name in ERROR_CLASSES


def _parse_rule(rule: Mapping[str, Any]) -> Retrier:
    values = dict(rule)
    for name in ("delay", "max_delay"):
        if values.get(name) is not None:
            values[name] = parse_duration(values[name])
    if "on" in values:
        values["on"] = tuple(values["on"])
    return Retrier(**values)
