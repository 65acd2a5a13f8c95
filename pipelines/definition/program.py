"""The compiled form of a document, stored with a version and loaded as ready closures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

from .blocks import BLOCKS, Block, block_of
from .canonical import canonical
from .conditions import Condition, Verdict, compile_condition
from .delays import Delay, parse_delay
from .durations import parse_duration
from .layout import Place, context_names, every_place, own_parameters, subject_alias, subject_names, variable_defaults
from .reading import case_conditions, parameters_of, reads_of, reads_of_rules
from .retries import Retrier, parse_retry, retry_after
from .values import Value, compile_value
from .zoned import zoned_delay, zoned_parameters, zoned_settings

__all__ = [
    "FORMAT",
    "Program",
    "ProgramError",
    "Retrier",
    "Step",
    "compile_program",
    "context_names",
    "retry_after",
]

FORMAT = 1
_DURATION_SETTINGS = frozenset({"step_timeout", "expires_after"})


class ProgramError(ValueError):
    """The document or the stored program cannot be used."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step, ready to run; `raw` holds its parameters as written, before they are worked out."""

    id: int
    key: str
    number: int
    name: str
    kind: str
    delay: Delay
    guard: Condition | None
    params: Value
    message: str
    on: Mapping[str, str]
    next: str | None
    retry: tuple[Retrier, ...]
    timeout: float | None
    assign: Mapping[str, Value]
    delivery: str | None
    await_: str
    cases: tuple[tuple[str, Condition], ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)
    scope: str = ""
    block: Block | None = None
    # How long one try of the step's work outside may take: its own timeout, else the pipeline's; None for no bound.
    work_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """An exit rule that waits for no event: whoever meets it has no place in the pipeline, also at the door."""

    where: Condition
    reason: str
    # The condition as it is written, for those who can ask a database.
    written: Any = None

    def held_by(self, context: Mapping[str, Any]) -> Verdict | None:
        """Why somebody meets it; None for whoever does not. One that cannot be worked out keeps nobody out."""
        verdict = self.where.evaluate(context)
        return verdict if verdict.met else None


def standing_exits(rules: Sequence[Mapping[str, Any]]) -> tuple[Standing, ...]:
    """Those of a document's exit rules that are about how things are, ready to be asked."""
    asked = ((_standing_condition(rule), rule) for rule in rules)
    return tuple(
        Standing(where, str(rule.get("reason") or ""), rule["where"]) for where, rule in asked if where is not None
    )


def _standing_condition(rule: Mapping[str, Any]) -> Condition | None:
    """What an exit rule asks at the door; None where it asks nothing there.

    A rule with an event waits for it, and one about a change for the next one: the change that brings somebody in
    is none that ends it.
    """
    if rule.get("event") or rule.get("match") or rule.get("where") in (None, []):
        return None
    where = compile_condition(rule["where"])
    return None if any(_tells_of_a_change(path) for path in where.paths) else where


def _tells_of_a_change(path: tuple[str, ...]) -> bool:
    return path[0] == "event" or path[:2] == ("trigger", "changes")


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled pipeline: its steps in order and what they read.

    `steps`, `by_id` and `by_key` hold every step; `scopes` holds each list of steps by its name:
    empty for the top level, `block.branch` for a branch, the key of a loop for its body.
    """

    steps: tuple[Step, ...]
    scopes: Mapping[str, tuple[Step, ...]]
    by_id: Mapping[int, Step]
    by_key: Mapping[str, Step]
    # The next step of the same list, by the id of a step; the last of a list has none.
    followers: Mapping[int, Step]
    alias: str | None
    settings: Mapping[str, Any]
    variables: tuple[Mapping[str, Any], ...]
    types: Mapping[str, str]
    # What variables are that nobody has set.
    defaults: Mapping[str, Any]
    reads_steps: frozenset[str]
    reads_vars: frozenset[str]
    subject_paths: frozenset[tuple[str, ...]]
    # How many visits a run may make by the settings; 0 where they do not say.
    max_hops: int = 0
    # Of the exit rules, those that are asked when somebody enters.
    standing: tuple[Standing, ...] = ()

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> "Program":
        """Compile the closures of a stored program; raises ProgramError for another format."""
        if data.get("format") != FORMAT:
            raise ProgramError(f"the program has format {data.get('format')!r}, not {FORMAT}")
        longest = data["settings"].get("step_timeout")
        steps = tuple(_load_step(step, longest) for step in data["steps"])
        reads, scopes = data["reads"], _scopes(steps)
        return cls(
            steps=steps,
            scopes=MappingProxyType(scopes),
            by_id=MappingProxyType({step.id: step for step in steps}),
            by_key=MappingProxyType({step.key: step for step in steps}),
            followers=MappingProxyType(
                {step.id: after for scope in scopes.values() for step, after in pairwise(scope)}
            ),
            alias=data["subject"],
            settings=MappingProxyType(dict(data["settings"])),
            variables=tuple(MappingProxyType(dict(each)) for each in data["variables"]),
            types=MappingProxyType({each["name"]: each.get("type", "any") for each in data["variables"]}),
            defaults=MappingProxyType(variable_defaults(data)),
            reads_steps=frozenset(reads["steps"]),
            reads_vars=frozenset(reads["vars"]),
            subject_paths=frozenset(_path(text) for text in reads["subject"]),
            max_hops=int(data["settings"].get("max_hops") or 0),
        )

    @property
    def first(self) -> Step:
        """The step a run begins with."""
        return self.scopes[""][0]

    def outputs_read(self, paths: Iterable[tuple[str, ...]]) -> frozenset[str]:
        """The keys of the steps whose outputs are kept when these paths are read beside what the steps read."""
        more: set[str] = set()
        for path in paths:
            if path[0] == "steps":
                more.update(path[1:2] or self.by_key)
        for step in self.steps:
            # The output of a block holds those of the steps inside it, which come after it.
            if step.scope and step.scope.partition(".")[0] in more:
                more.add(step.key)
        return self.reads_steps | more

    @property
    def required(self) -> list[str]:
        """Variables that a run cannot begin without."""
        return [each["name"] for each in self.variables if each.get("required") and "default" not in each]

    def target(self, step: Step, outcome: str) -> Step | Literal["end", "fail"]:
        """Where a run goes from a step: `on`, else failure for an error, else the next step.

        It never leaves the list of the step: after its last step comes the end of that list.
        """
        name = step.on.get(outcome, "fail" if outcome == "error" else "next")
        if name == "next":
            name = step.next or "next"
        if name == "next":
            return self.followers.get(step.id, "end")
        if name == "end":
            return "end"
        return "fail" if name == "fail" else self.by_key[name]


def compile_program(document: Mapping[str, Any], *, step_ids: Mapping[str, int]) -> dict[str, Any]:
    """Turn a checked document into the plain data stored with its version.

    `step_ids` gives the lasting identity of each step by its key. Edges have become lists and blocks
    before, by `structuring.structured`.
    """
    if document.get("edges"):
        raise ProgramError("edges are made into lists and blocks first")
    tidy = canonical(document)
    settings = _settings(tidy.get("settings", {}))
    found = every_place(tidy)
    missing = sorted(place.key for place in found if place.key not in step_ids)
    if missing:
        raise ProgramError(f"these steps have no identity: {', '.join(missing)}")
    steps = [
        {"id": step_ids[place.key], "key": place.key, "number": place.number, "scope": place.scope}
        | _plain_step(place.step, settings)
        for place in found
    ]
    return {
        "format": FORMAT,
        "subject": subject_alias(tidy),
        "settings": settings,
        "variables": tidy.get("variables", []),
        "steps": steps,
        "reads": _reads(tidy),
    }


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: parse_duration(value) if name in _DURATION_SETTINGS else value for name, value in settings.items()}
    return zoned_settings(plain)


def _plain_step(step: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    # What is tried again for all steps is tried inside of blocks; a block repeats itself only where it says so.
    retry = step.get("retry", None if step["type"] in BLOCKS else settings.get("retry"))
    return {
        "name": step.get("name", ""),
        "kind": step["type"],
        "delay": zoned_delay(step, settings),
        "if": step.get("if"),
        "with": zoned_parameters(step["type"], own_parameters(step), settings),
        "message": step.get("message", ""),
        "on": step.get("on", {}),
        "next": step.get("next"),
        "retry": retry if isinstance(retry, list) else [] if retry is None else [retry],
        "timeout": parse_duration(step["timeout"]) if "timeout" in step else None,
        "set": step.get("set", {}),
        "delivery": step.get("delivery"),
        "await": step.get("await", "done"),
    }


def _load_step(data: Mapping[str, Any], longest: float | None) -> Step:
    as_written = {"type": data["kind"], "with": data["with"]}
    return Step(
        id=data["id"],
        key=data["key"],
        number=data["number"],
        name=data["name"],
        kind=data["kind"],
        delay=parse_delay(data["delay"]),
        guard=None if data["if"] is None else compile_condition(data["if"]),
        params=parameters_of(as_written),
        message=data["message"],
        on=MappingProxyType(dict(data["on"])),
        next=data["next"],
        retry=parse_retry(data["retry"]),
        timeout=data["timeout"],
        assign=MappingProxyType({name: compile_value(v) for name, v in data["set"].items()}),
        delivery=data["delivery"],
        await_=data["await"],
        cases=case_conditions(as_written),
        raw=MappingProxyType(dict(data["with"])),
        scope=data.get("scope", ""),
        block=block_of(kind=data["kind"], key=data["key"], parameters=data["with"]),
        work_seconds=longest if data["timeout"] is None else data["timeout"],
    )


def _scopes(steps: tuple[Step, ...]) -> dict[str, tuple[Step, ...]]:
    names = dict.fromkeys(step.scope for step in steps)
    return {name: tuple(step for step in steps if step.scope == name) for name in names}


def _reads(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """What steps, goals and exit rules read; the subject itself, without a field, is the empty text."""
    subject, steps, variables = set[str](), set[str](), set[str]()
    about_subject, declared = subject_names(document), _declared(document)
    found = every_place(document)
    keys = [place.key for place in found]
    for place in found:
        if place.step["type"] == "code":
            subject.add("")
            steps.update(keys)
            variables |= declared
        delay = place.step.get("delay")
        if isinstance(delay, Mapping) and delay.get("tz") == "subject":
            subject.add("timezone")
    every = [reads_of(place.step) for place in found] + [reads for _, reads in reads_of_rules(document)]
    for reads in every:
        for path, _ in reads.paths:
            root, *rest = path
            if root in about_subject:
                subject.add(".".join(rest))
            elif root == "steps":
                steps.update(rest[:1] or keys)
            elif root == "vars":
                variables.update(rest[:1] or declared)
            elif root in declared:
                variables.add(root)
    return {"subject": sorted(subject), "steps": sorted(_with_inside(steps, found)), "vars": sorted(variables)}


def _with_inside(keys: set[str], found: Sequence[Place]) -> set[str]:
    """The output of a block holds those of the steps inside it."""
    wanted = set(keys)
    for place in found:
        if place.parent in wanted:
            wanted.add(place.key)
    return wanted


def _declared(document: Mapping[str, Any]) -> set[str]:
    return {variable["name"] for variable in document.get("variables", [])}


def _path(text: str) -> tuple[str, ...]:
    return tuple(text.split(".")) if text else ()
