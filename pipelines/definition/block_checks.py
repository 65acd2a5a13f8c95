"""What blocks must keep: branches with names of their own, an order without circles, and clear exports."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from .blocks import INDEX, ITEM, MOST_ITERATIONS, local_names, split_after
from .expressions import suggestion
from .flow import KindSpec, allowed_outcomes, reachable
from .layout import Path, Place, context_names, every_place, inside, variable_names
from .naming import assigned
from .shapes import Problem, spoken_path

MOST_ROUNDS = 10_000


def check_blocks(document: Mapping[str, Any], *, kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    """Branches, their order, joins, exports and names of loops."""
    found = every_place(document)
    for place in found:
        if place.step["type"] == "parallel":
            yield from _check_branches(place, found, kinds)
        if place.step["type"] in ("parallel", "loop"):
            yield from _check_export(place, found, document)
        if place.step["type"] == "loop":
            yield from _check_local_names(place, document)
            yield from _check_rounds(place)


def _check_branches(place: Place, found: list[Place], kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    given = place.step["with"]
    names = Counter(branch["name"] for branch in given["branches"])
    outcomes = {name: _outcomes(place, name, kinds) for name in names}
    for index, branch in enumerate(given["branches"]):
        at = (*place.at, "with", "branches", index)
        if names[branch["name"]] > 1:
            yield Problem(spoken_path((*at, "name")), f"the name '{branch['name']}' is used by more than one branch")
        for position, text in enumerate(branch.get("after", ())):
            yield from _check_after(text, (*at, "after", position), branch["name"], outcomes)
    yield from _check_circles(place)
    join = given.get("join")
    if isinstance(join, int) and join > len(given["branches"]):
        message = f"waits for {join} branches, but there are only {len(given['branches'])}"
        yield Problem(spoken_path((*place.at, "with", "join")), message)


def _outcomes(place: Place, branch: str, kinds: Mapping[str, KindSpec]) -> frozenset[str]:
    """The outcomes that a branch may end with, which are those of its steps."""
    steps = [each.step for each in inside(place) if each.branch == branch]
    known = [allowed_outcomes(step, kinds[step["type"]]) for step in steps if step["type"] in kinds]
    return frozenset[str]().union(*known)


def _check_after(text: str, at: Path, own: str, outcomes: Mapping[str, frozenset[str]]) -> Iterator[Problem]:
    name, outcome = split_after(text)
    if name == own:
        yield Problem(spoken_path(at), f"'{name}' cannot come after itself")
    elif name not in outcomes:
        others = set(outcomes) - {own}
        yield Problem(spoken_path(at), f"there is no branch '{name}' in this block{suggestion(name, others)}")
    elif outcome is not None and outcome not in outcomes[name]:
        known = ", ".join(sorted(outcomes[name]))
        yield Problem(spoken_path(at), f"'{name}' never ends with '{outcome}'; it may end with {known}")


def _check_circles(place: Place) -> Iterator[Problem]:
    branches = place.step["with"]["branches"]
    after = {branch["name"]: frozenset(_others(branch)) for branch in branches}
    for index, branch in enumerate(branches):
        ways = [name for name in after[branch["name"]] if branch["name"] in reachable(after, name)]
        if ways:
            circle = " after ".join(f"'{name}'" for name in (branch["name"], ways[0]))
            at = spoken_path((*place.at, "with", "branches", index, "after"))
            yield Problem(at, f"these branches wait for each other: {circle} and back; break the circle")


def _others(branch: Mapping[str, Any]) -> Iterator[str]:
    for text in branch.get("after", ()):
        name, _ = split_after(text)
        if name != branch["name"]:
            yield name


def _check_export(place: Place, found: list[Place], document: Mapping[str, Any]) -> Iterator[Problem]:
    declared = variable_names(document)
    writers = _writers(place, found)
    for index, name in enumerate(place.step["with"].get("export", ())):
        at = spoken_path((*place.at, "with", "export", index))
        branches = sorted(branch for branch, names in writers.items() if name in names)
        if name not in declared:
            yield Problem(at, f"'{name}' is not declared in 'variables'{suggestion(name, declared)}")
        elif len(branches) > 1 and not _in_turn(place, branches):
            told = " and ".join(f"'{branch}'" for branch in branches)
            yield Problem(
                at, f"the branches {told} both set '{name}': only one branch may set a variable that is exported"
            )
        elif not branches:
            yield Problem(at, f"nothing inside this block sets '{name}'", "warning")


def _writers(place: Place, found: list[Place]) -> dict[str, frozenset[str]]:
    """The variables that each branch of a block sets, at any depth."""
    branch_of: dict[str, str] = {}
    written: dict[str, set[str]] = {}
    for each in found:
        if each.parent == place.key:
            branch_of[each.key] = each.branch
        elif each.parent in branch_of:
            branch_of[each.key] = branch_of[each.parent]
        if each.key in branch_of:
            written.setdefault(branch_of[each.key], set()).update(assigned(each.step))
    return {branch: frozenset(names) for branch, names in written.items()}


def _in_turn(place: Place, names: list[str]) -> bool:
    """Whether these branches run one after the other, so that the last to write is certain."""
    after = {branch["name"]: frozenset(_others(branch)) for branch in place.step["with"]["branches"]}
    pairs = [(one, other) for one in names for other in names if one < other]
    return all(one in reachable(after, other) or other in reachable(after, one) for one, other in pairs)


def _check_rounds(place: Place) -> Iterator[Problem]:
    given = place.step["with"]
    for name in ("max", "times"):
        value = given.get(name)
        if isinstance(value, int) and value > MOST_ROUNDS:
            yield Problem(spoken_path((*place.at, "with", name)), f"a loop has at most {MOST_ROUNDS:,} rounds")
    if isinstance(given.get("times"), int) and given["times"] > given.get("max", MOST_ITERATIONS):
        message = f"more rounds than 'max' allows, which is {given.get('max', MOST_ITERATIONS)}"
        yield Problem(spoken_path((*place.at, "with", "times")), message, "warning")


def _check_local_names(place: Place, document: Mapping[str, Any]) -> Iterator[Problem]:
    given = place.step["with"]
    taken = context_names(document)
    for part, usual in (("as", ITEM), ("index", INDEX)):
        name = given.get(part, usual)
        at = spoken_path((*place.at, "with", part))
        if part in given and name in taken:
            yield Problem(at, f"'{name}' already has a meaning: choose another name")
        elif name in local_names(place.step) and name in taken:
            at = spoken_path((*place.at, "with"))
            yield Problem(at, f"'{name}' already has a meaning: give '{part}' another name")
    if "as" in given and given["as"] == given.get("index", INDEX):
        yield Problem(spoken_path((*place.at, "with", "as")), "the item and the index need different names")
    if "as" in given and "over" not in given:
        message = "only a loop over a list has items: leave 'as' out or say what the loop goes over"
        yield Problem(spoken_path((*place.at, "with", "as")), message)
