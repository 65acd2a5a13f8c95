"""What blocks must keep: branches with names of their own, an order without circles, and clear exports."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from .blocks import INDEX, ITEM, MOST_ITERATIONS, local_names, split_after
from .comparing import is_number
from .expressions import suggestion
from .flow import KindSpec, allowed_outcomes, reachable
from .layout import Path, Place, context_names, every_place, inside, variable_names
from .naming import assigned
from .reading import reads_of
from .shapes import Problem, spoken_path
from .values import is_dynamic

MOST_ROUNDS = 10_000
# The conditions that a block asks while its children come and go.
_ASKED = frozenset[Path]({("while",), ("until",), ("join", "when")})


def check_blocks(document: Mapping[str, Any], *, kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    """Branches, their order, joins, exports and names of loops."""
    found = every_place(document)
    for place in found:
        if place.step["type"] == "parallel":
            yield from _check_branches(place, found, kinds)
        if place.step["type"] in ("parallel", "loop"):
            yield from _check_export(place, found, document)
            yield from _check_asked(place, found)
        if place.step["type"] == "loop":
            yield from _check_local_names(place, document)
            yield from _check_rounds(place)


def _check_branches(place: Place, found: list[Place], kinds: Mapping[str, KindSpec]) -> Iterator[Problem]:
    given = place.step["with"]
    names = Counter(branch["name"] for branch in given["branches"])
    outcomes = {name: _outcomes(place, name, kinds) for name in names}
    # Whose steps say where an error leads: only a branch that goes on then may end with it.
    caught = {each.branch for each in inside(place) if "error" in each.step.get("on", {})}
    for index, branch in enumerate(given["branches"]):
        at = (*place.at, "with", "branches", index)
        if names[branch["name"]] > 1:
            yield Problem(spoken_path((*at, "name")), f"the name '{branch['name']}' is used by more than one branch")
        for position, text in enumerate(branch.get("after", ())):
            yield from _check_after(text, (*at, "after", position), branch["name"], outcomes, caught)
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


def _check_after(
    text: str, at: Path, own: str, outcomes: Mapping[str, frozenset[str]], caught: Collection[str]
) -> Iterator[Problem]:
    name, outcome = split_after(text)
    if name == own:
        yield Problem(spoken_path(at), f"'{name}' cannot come after itself")
    elif name not in outcomes:
        others = set(outcomes) - {own}
        yield Problem(spoken_path(at), f"there is no branch '{name}' in this block{suggestion(name, others)}")
    elif outcome is not None and outcome not in outcomes[name]:
        known = ", ".join(sorted(outcomes[name]))
        yield Problem(spoken_path(at), f"'{name}' never ends with '{outcome}'; it may end with {known}")
    elif outcome == "error" and name not in caught:
        message = f"'{name}' fails where a step ends with 'error', and nothing comes after that: lead 'error' to 'end'"
        yield Problem(spoken_path(at), message, "warning")


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


def _check_asked(place: Place, found: list[Place]) -> Iterator[Problem]:
    """A condition of a block sees what is set inside only where it is exported."""
    inside = frozenset[str]().union(*_writers(place, found).values())
    hidden = inside - set(place.step["with"].get("export", ()))
    told: set[Path] = set()
    for path, at in reads_of(place.step).paths:
        name = path[1] if path[0] == "vars" and len(path) > 1 else path[0]
        if name in hidden and at[1:] in _ASKED and at not in told:
            told.add(at)
            message = f"'{name}' is set inside this block and stays there: name it in 'export' so that this sees it"
            yield Problem(spoken_path((*place.at, *at)), message, "warning")


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
    for name, message in _never_rounds(given):
        yield Problem(spoken_path((*place.at, "with", name)), message)
    for name in ("max", "times"):
        value = given.get(name)
        if isinstance(value, int) and value > MOST_ROUNDS:
            yield Problem(spoken_path((*place.at, "with", name)), f"a loop has at most {MOST_ROUNDS:,} rounds")
        if isinstance(value, int) and value < 0:
            yield Problem(spoken_path((*place.at, "with", name)), "a loop has no fewer rounds than 0")
    if isinstance(given.get("times"), int) and given["times"] > given.get("max", MOST_ITERATIONS):
        message = f"more rounds than 'max' allows, which is {given.get('max', MOST_ITERATIONS)}"
        yield Problem(spoken_path((*place.at, "with", "times")), message, "warning")


def _never_rounds(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is no list or no number of rounds, whatever a run remembers."""
    times, over = given.get("times"), given.get("over")
    if "times" in given and not is_dynamic(times) and not _is_whole(times):
        yield "times", "must be a whole number, or an expression that begins with '='"
    if "over" in given and not is_dynamic(over) and not isinstance(over, list):
        yield "over", "must be a list, or an expression that begins with '='"
    if isinstance(over, list) and len(over) > given.get("max", MOST_ITERATIONS):
        yield "over", f"more items than 'max' allows, which is {given.get('max', MOST_ITERATIONS):,}"


def _is_whole(value: Any) -> bool:
    return is_number(value) and value % 1 == 0


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
