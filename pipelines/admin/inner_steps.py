"""Steps inside blocks as the page sends them: lists by branch, checked, keyed and put back into the rows."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.core.exceptions import ValidationError

from pipelines.admin.fields import JsonField
from pipelines.definition.layout import LONGEST_KEY, inner_lists
from pipelines.models import Pipeline
from pipelines.step_rows import apply_steps, steps_of

BLOCKS: Final = frozenset({"parallel", "loop"})
# What a step is without saying so.
_USUAL: Final = {"delay": 0, "await": "done"}
_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_KNOWN: Final = frozenset(
    {
        "number", "key", "name", "type", "delay", "if", "message", "with", "next", "on", "retry", "timeout", "set",
        "delivery", "await", "notes", "position",
    }
)  # fmt: skip


class InsideField(JsonField):
    """Lists of steps by branch, "" for the body of a loop; says what is wrong and where."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(expect=dict, default={}, **kwargs)

    def to_python(self, value: Any) -> Any:
        found = super().to_python(value)
        for branch, steps in found.items():
            if not isinstance(steps, list):
                raise ValidationError(f"{branch or 'steps'}: must be a list of steps.")
            for at, step in _all_steps(steps, branch or "steps"):
                _check(at, step)
        return found


def inside_of(step: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The lists of steps inside a step, by branch; empty lists and what needs no saying are left out."""
    return {inner.branch: [_tidy(each) for each in inner.steps] for inner in inner_lists(step) if inner.steps}


def _tidy(step: Mapping[str, Any]) -> dict[str, Any]:
    kept = {
        name: value for name, value in step.items() if name != "number" and value != _USUAL.get(name) and value != {}
    }
    own = kept.get("with")
    if isinstance(own, Mapping) and kept.get("type") in BLOCKS:
        kept["with"] = _filled(kept, inside_of(step))["with"]
    return kept


def keys_inside(inside: Mapping[str, Sequence[Any]]) -> list[str]:
    """The keys of all steps in there, however deep, with those that stand twice twice."""
    steps = (step for branch, inner in inside.items() for _, step in _all_steps(inner, branch))
    return [str(step["key"]) for step in steps if step.get("key")]


def named(inside: Mapping[str, Sequence[Any]], *, stem: str, taken: set[str]) -> dict[str, list[Any]]:
    """The same lists with a key for every step; numbers follow the order."""
    return {branch: [_named(step, stem, taken) for step in steps] for branch, steps in inside.items()}


def put_inside(pipeline: Pipeline, inside: Mapping[str, Mapping[str, Sequence[Any]]]) -> None:
    """Make the rows inside each block, by its key, what the page says."""
    steps = [_filled(step, inside[step["key"]]) if step["key"] in inside else step for step in steps_of(pipeline)]
    apply_steps(pipeline, {"steps": steps})


def _filled(step: Mapping[str, Any], lists: Mapping[str, Sequence[Any]]) -> Mapping[str, Any]:
    own = dict(step.get("with") or {})
    if step["type"] == "loop":
        return {**step, "with": {**own, "steps": list(lists.get("", ()))}}
    if step["type"] != "parallel":
        return step
    branches = own.get("branches")
    kept = [
        {**branch, "steps": list(lists.get(str(branch.get("name")), ()))} if isinstance(branch, dict) else branch
        for branch in (branches if isinstance(branches, list) else [])
    ]
    return {**step, "with": {**own, "branches": kept}}


def _all_steps(steps: Sequence[Any], at: str) -> Iterator[tuple[str, Any]]:
    for index, step in enumerate(steps):
        where = f"{at}[{index}]"
        yield where, step
        if isinstance(step, Mapping):
            for inner in inner_lists(step):
                yield from _all_steps(inner.steps, f"{where}.{inner.branch or 'steps'}")


def _check(at: str, step: Any) -> None:
    if not isinstance(step, dict) or not isinstance(step.get("type"), str) or not step["type"]:
        raise ValidationError(f"{at}: a step is an object with a type.")
    unknown = sorted(set(step) - _KNOWN)
    if unknown:
        raise ValidationError(f"{at}: unknown property '{unknown[0]}'.")
    key = step.get("key")
    if key is not None and (not isinstance(key, str) or not _KEY.fullmatch(key)):
        raise ValidationError(f"{at}.key: must be 1 to 40 small letters, digits and '_', beginning with a letter.")
    for name, kind in (("with", dict), ("on", dict), ("set", dict), ("name", str), ("message", str)):
        if name in step and not isinstance(step[name], kind):
            raise ValidationError(f"{at}.{name}: must be {'text' if kind is str else 'an object'}.")


def _named(step: Mapping[str, Any], stem: str, taken: set[str]) -> dict[str, Any]:
    found = {name: value for name, value in step.items() if name != "number"}
    if not found.get("key"):
        number = 1
        while (key := f"{stem[: LONGEST_KEY - 6]}_{number}") in taken:
            number += 1
        found["key"] = key
        taken.add(key)
    own = found.get("with")
    if isinstance(own, Mapping) and found["type"] == "loop" and isinstance(own.get("steps"), list):
        found["with"] = {**own, "steps": [_named(each, found["key"], taken) for each in own["steps"]]}
    if isinstance(own, Mapping) and found["type"] == "parallel" and isinstance(own.get("branches"), list):
        found["with"] = {**own, "branches": [_named_branch(each, found["key"], taken) for each in own["branches"]]}
    return found


def _named_branch(branch: Any, stem: str, taken: set[str]) -> Any:
    if not isinstance(branch, Mapping) or not isinstance(branch.get("steps"), list):
        return branch
    return {**branch, "steps": [_named(each, stem, taken) for each in branch["steps"]]}
