"""Steps with several ways on: the first case that fits, or a variant drawn for an experiment."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from pipelines.actions.base import Done, Fail, Fault, Input, Kind, Outcome
from pipelines.definition.program import Step
from pipelines.definition.values import ParameterError
from pipelines.definition.variants import CHOSEN, chosen_variant

_NAME = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$", "title": "Name"}
_MOST_SHOWN = 20
_TAKEN = frozenset({"next", "error", "skipped", "timeout"})


class Switch(Kind):
    """Several ways on: that of the first case whose condition is met, else the default."""

    code = "switch"
    reads_of_subject = frozenset()
    label = "Switch"
    description = "Goes the way of the first case that fits, and the default way when none does."
    icon = "alt_route"
    outcomes = ("default", "error")
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["cases"],
        "properties": {
            "cases": {
                "title": "Cases",
                "description": "In order; each has a name, which leads somewhere, and a condition.",
                "x-widget": "json",
                "type": "array",
                "minItems": 1,
                "maxItems": 50,
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["name", "if"],
                    "properties": {"name": _NAME, "if": {"title": "If"}},
                },
            }
        },
    }

    def check(self, step: Mapping[str, Any]) -> Iterator[Fault]:
        yield from _names_once(step, "cases", taken={*_TAKEN, "default"})

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset({"case"})

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._decide(step, visit) for visit in batch]

    def _decide(self, step: Step, visit: Input) -> Outcome:
        why: list[Mapping[str, Any]] = []
        for name, condition in step.cases:
            verdict = condition.evaluate(visit.context)
            why += [{**leaf.as_dict(), "case": name} for leaf in verdict.why]
            if verdict.error:
                return Fail(f"{name}: {verdict.error}", code="expression", why=tuple(why[-_MOST_SHOWN:]))
            if verdict.met:
                return Done(outcome=name, output={"case": name}, why=tuple(why[-_MOST_SHOWN:]))
        return Done(outcome="default", output={"case": "default"}, why=tuple(why[-_MOST_SHOWN:]))


class Split(Kind):
    """One of several variants by weight, the same for a subject whenever it comes by."""

    code = "split"
    label = "A/B split"
    description = "Sends each subject one of several ways by weight, always the same way for the same subject."
    icon = "science"
    outcomes = ("error",)
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["variants"],
        "properties": {
            "variants": {
                "title": "Variants",
                "description": "Each has a name, which leads somewhere, and a weight (1 when left out).",
                "x-widget": "json",
                "x-fixed": True,
                "type": "array",
                "minItems": 2,
                "maxItems": 20,
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["name"],
                    "properties": {
                        "name": _NAME,
                        "weight": {"type": "number", "minimum": 0, "maximum": 1_000_000, "title": "Weight"},
                    },
                },
            },
            "holdout": {
                "type": "number",
                "title": "Holdout (%)",
                "description": "So many of a hundred take no variant and go a way of their own, to compare with.",
                "minimum": 0,
                "exclusiveMaximum": 100,
            },
            "seed": {
                "x-advanced": True,
                "type": "string",
                "title": "Seed",
                "description": "Steps with the same seed draw alike; empty draws anew for this step.",
                "maxLength": 60,
            },
        },
    }

    def check(self, step: Mapping[str, Any]) -> Iterator[Fault]:
        given = step["with"]
        yield from _names_once(step, "variants", taken={*_TAKEN, "holdout"})
        if not any(_weight(variant) for variant in given["variants"]):
            yield ("with", "variants"), "at least one variant needs a weight above 0"
        if given.get("holdout") and "holdout" not in step.get("on", {}):
            yield ("on",), "say in 'on' where 'holdout' leads, for example to 'end'"

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset({"variant"})

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._decide(step, visit) for visit in batch]

    def _decide(self, step: Step, visit: Input) -> Outcome:
        try:
            params = step.params.evaluate(visit.context)
            share = float(params.get("holdout") or 0)
        except ParameterError as error:
            return Fail(str(error), code="expression")
        except (TypeError, ValueError):
            return Fail("`holdout` is not a number.", code="validation")
        who, seed = _who(visit), str(params.get("seed") or step.id)
        held = draw(seed=seed, who=who, purpose="holdout") * 100 < share
        name = "holdout" if held else choose(params["variants"], draw(seed=seed, who=who, purpose="variant"))
        why = ({"note": CHOSEN},) if chosen_variant(params) == name else ()
        return Done(outcome=name, output={"variant": name}, why=why)


def draw(*, seed: str, who: str, purpose: str) -> float:
    """A number from 0 up to 1 that depends on nothing but its arguments."""
    digest = blake2b(f"{purpose}:{who}".encode(), key=blake2b(seed.encode(), digest_size=32).digest(), digest_size=8)
    # 53 bits, as many as a float holds: with more, the largest would round up to 1.
    return (int.from_bytes(digest.digest()) >> 11) / 2**53


def choose(variants: Sequence[Mapping[str, Any]], position: float) -> str:
    """The name of the variant whose share of the weights holds this position."""
    total, reached = sum(map(_weight, variants)), 0.0
    weighted = [variant for variant in variants if _weight(variant)]
    for variant in weighted:
        reached += _weight(variant)
        if position * total < reached:
            return str(variant["name"])
    return str(weighted[-1]["name"])


def _weight(variant: Mapping[str, Any]) -> float:
    return float(variant.get("weight", 1))


def _who(visit: Input) -> str:
    """The subject; runs about nobody are drawn each by itself."""
    if visit.subject is None:
        return f"run:{visit.run_id}"
    return f"{visit.subject['model']}:{visit.subject['id']}"


def _names_once(step: Mapping[str, Any], part: str, *, taken: set[str]) -> Iterator[Fault]:
    """Names of outcomes must differ from each other and from those that mean something else."""
    names = [item["name"] for item in step["with"][part]]
    counts = Counter(names)
    for index, name in enumerate(names):
        if counts[name] > 1:
            yield ("with", part, index, "name"), f"the name '{name}' is used twice"
        elif name in taken:
            yield ("with", part, index, "name"), f"'{name}' already has a meaning: choose another name"
