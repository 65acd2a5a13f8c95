"""Edges made into lists of steps and blocks: forks become parallel steps, crossing edges become `after`.

Two shapes of block exist. Where the ways of one fork meet again, or end, without being entered from
elsewhere, the block holds what lies between. Where they are entered from elsewhere, the block begins
at the nearest step that all ways pass, and holds that step too.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .dominance import between, immediate_dominators, reverse_postorder, reversed_edges
from .flow import KindSpec, allowed_outcomes
from .graph import DEFAULT, END, FAIL, START, Graph, graph_of
from .layout import LONGEST_KEY, every_place
from .naming import kept

DEEPEST = 8
# A fork stands in the graph as a node of its own: the step and the outcome it forks at.
Node = tuple[str, str]
_EXIT: Node = (END, "exit")
_Successors = Mapping[Node, list[Node]]


class CircleInFork(ValueError):
    """A circle leads through steps that run side by side."""


@dataclass(frozen=True, slots=True)
class Region:
    """What becomes one block: where it begins, the steps in it, and where all of its ways go on."""

    head: Node
    steps: frozenset[str]
    goes_on: str | None

    @property
    def holds_head(self) -> bool:
        """Whether the block holds the step it begins at, rather than following it."""
        return not self.head[1]


def structured(document: Mapping[str, Any], *, kinds: Mapping[str, KindSpec]) -> dict[str, Any]:
    """The same document with its steps in order and in blocks instead of edges.

    Steps that no edge leads to are left out. Raises CircleInFork where a fork lies on a circle.
    """
    result = {name: value for name, value in document.items() if name != "edges"}
    if document.get("edges"):
        graph = graph_of(document, kinds=kinds)
        steps = _Builder(graph, kinds).whole()
        deepest = max(place.at.count("with") for place in every_place({"steps": steps}))
        result["steps"] = steps if deepest <= DEEPEST else _Builder(graph, kinds, chains_only=True).whole()
    return result


@dataclass(slots=True)
class _Builder:
    """Builds the lists of one graph; with `chains_only` branches hold no forks of their own."""

    graph: Graph
    kinds: Mapping[str, KindSpec]
    chains_only: bool = False
    keys: set[str] = field(default_factory=set)

    def whole(self) -> list[dict[str, Any]]:
        self.keys = {place.key for place in every_place({"steps": list(self.graph.steps.values())})}
        return self._list(self.graph.reached(), self.graph.starts)

    def _list(self, steps: frozenset[str], starts: tuple[str, ...]) -> list[dict[str, Any]]:
        """One list: every way that leaves these steps leads to its end."""
        root, successors = self._with_forks(steps, starts)
        regions = self._regions(root, successors)
        block_of = {key: region for region in regions for key in region.steps}
        names = {region.head: self._free_key(region.head) for region in regions}
        entries = {key: names[region.head] for key, region in block_of.items() if region.holds_head}
        made: dict[str, dict[str, Any]] = {}
        for node in reverse_postorder(root, successors):
            key, outcome = node
            region = block_of.get(key) if not outcome else next((each for each in regions if each.head == node), None)
            if region is not None and names[region.head] not in made and (outcome or region.holds_head):
                follow = END if region.goes_on is None else entries.get(region.goes_on, region.goes_on)
                made[names[region.head]] = {**self._block(region, names[region.head]), "next": follow}
            elif region is None and not outcome and node != _EXIT:
                made[key] = self._step(key, steps, entries, names)
        return list(made.values())

    def _step(
        self, key: str, steps: Collection[str], entries: Mapping[str, str], names: Mapping[Node, str]
    ) -> dict[str, Any]:
        """A step that leads on inside its list, or to the end of it."""
        step = {name: value for name, value in self.graph.steps[key].items() if name not in ("number", "next", "on")}
        step["key"] = key
        leads = {
            outcome: names.get((key, outcome)) or _single(targets, steps, entries)
            for outcome, targets in self.graph.ways[key].items()
        }
        step["next"] = leads.pop(DEFAULT, END)
        return {**step, "on": leads} if leads else step

    def _with_forks(self, steps: frozenset[str], starts: tuple[str, ...]) -> tuple[Node, dict[Node, list[Node]]]:
        """These steps as nodes, with a node for each fork and one for the end."""
        successors: dict[Node, list[Node]] = {}
        for key in (each for each in self.graph.steps if each in steps):
            found = successors.setdefault((key, ""), [])
            for outcome, targets in self.graph.ways[key].items():
                inside = [(target, "") for target in targets if target in steps]
                if len(inside) > 1:
                    successors[key, outcome] = inside
                    inside = [(key, outcome)]
                found.extend(inside)
                if not inside and targets != (FAIL,):
                    found.append(_EXIT)
            if key in self.graph.loose or not found:
                found.append(_EXIT)
        root: Node = (starts[0], "")
        if len(starts) > 1:
            root = (START, "start")
            successors[root] = [(start, "") for start in starts]
        return root, {node: list(dict.fromkeys(found)) for node, found in successors.items()}

    def _regions(self, root: Node, successors: _Successors) -> list[Region]:
        """The largest blocks that the forks need; by their making they lie apart or inside each other."""
        forks = [node for node in reverse_postorder(root, successors) if node[1] and node != _EXIT]
        if not forks:
            return []
        nodes = reverse_postorder(root, successors)
        before = reversed_edges(nodes, successors)
        above = immediate_dominators(root, successors)
        below = immediate_dominators(_EXIT, before)
        found: list[Region] = []
        for fork in forks:
            if not any(fork[0] in region.steps for region in found):
                found.append(_region(fork, successors, before, above, below))
        return [each for each in found if not any(each.steps < other.steps for other in found)]

    def _block(self, region: Region, name: str) -> dict[str, Any]:
        """The parallel step of a region: a branch for each part that runs without waiting for another."""
        inside = {key: [t for t in self.graph.targets(key) if t in region.steps] for key in region.steps}
        order = self._in_order(region, inside)
        before = reversed_edges(order, inside)
        after_all = _post_dominators(order, inside, self.graph)
        parts: dict[str, _Part] = {}
        for key in order:
            if not any(key in part.steps for part in parts.values()):
                parts[key] = self._grown(key, region, inside, before, after_all)
        branches = [self._branch(part, parts, before) for part in parts.values()]
        block: dict[str, Any] = {"branches": branches}
        export = sorted({name for key in region.steps for name in kept(self.graph.steps[key])})
        return {"key": name, "type": "parallel", "with": {**block, "export": export} if export else block}

    def _in_order(self, region: Region, inside: Mapping[str, list[str]]) -> list[str]:
        entries = [region.head[0]] if region.holds_head else list(self._fork_targets(region.head))
        order = reverse_postorder(START, {**inside, START: [key for key in entries if key in region.steps]})[1:]
        place = {key: number for number, key in enumerate(order)}
        if any(place[target] <= place[key] for key in order for target in inside[key]):
            raise CircleInFork(f"steps after the fork at '{region.head[0]}' lead back")
        return order

    def _fork_targets(self, fork: Node) -> tuple[str, ...]:
        key, outcome = fork
        return self.graph.starts if key == START else self.graph.ways[key][outcome]

    def _grown(
        self,
        head: str,
        region: Region,
        inside: Mapping[str, list[str]],
        before: Mapping[str, list[str]],
        after_all: Mapping[str, str],
    ) -> "_Part":
        """As much as can run behind a step in the same branch: nothing of it waits for another branch."""
        steps, last = {head}, head
        while inside[last]:
            leaving = self.graph.ends(last) or any(t not in region.steps for t in self.graph.targets(last))
            if len(inside[last]) == 1 and not leaving:
                only = inside[last][0]
                if before[only] != [last]:
                    break
                steps.add(only)
                last = only
                continue
            meet = after_all.get(last, END)
            middle = between(last, meet, inside)
            joined = middle | ({meet} if meet in region.steps else set())
            if self.chains_only or (region.holds_head and steps | joined >= region.steps):
                break
            if any(set(before[key]) - middle - {last} for key in middle):
                break
            steps |= middle
            if meet not in region.steps or set(before[meet]) - middle - {last}:
                return _Part(head, frozenset(steps), None)
            steps.add(meet)
            last = meet
        return _Part(head, frozenset(steps), last)

    def _branch(self, part: "_Part", parts: Mapping[str, "_Part"], before: Mapping[str, list[str]]) -> dict[str, Any]:
        branch: dict[str, Any] = {"name": part.head}
        after = [
            entry
            for other in parts.values()
            if other is not part
            for source in before[part.head]
            if source in other.steps
            for entry in self._after(other, source, part.head)
        ]
        if after:
            branch["after"] = list(dict.fromkeys(after))
        branch["steps"] = self._list(part.steps, (part.head,))
        return branch

    def _after(self, other: "_Part", source: str, target: str) -> Iterator[str]:
        """What a branch waits for: another one, or that one with the outcomes that lead here."""
        ways = self.graph.ways[source]
        here = [outcome for outcome, targets in ways.items() if target in targets]
        if other.last != source or (DEFAULT in here and len(here) == len(ways)):
            yield other.head
            return
        for outcome in here:
            yield from (f"{other.head}:{each}" for each in self._meant(source, outcome))

    def _meant(self, key: str, outcome: str) -> list[str]:
        """The outcomes that an edge stands for: itself, or all that have no edge of their own."""
        if outcome != DEFAULT:
            return [outcome]
        step = self.graph.steps[key]
        kind = self.kinds.get(str(step.get("type")))
        known = allowed_outcomes(step, kind) if kind else frozenset({"next", "skipped", "timeout"})
        return sorted(known - {"error"} - set(self.graph.ways[key]) | {DEFAULT})

    def _free_key(self, head: Node) -> str:
        """The key of a block: after its step, and after the outcome where a step forks at several."""
        key, outcome = head
        several = sum(1 for source, _ in self.graph.forks() if source == key) > 1
        stem = f"fork_{key or 'start'}" + (f"_{outcome}" if outcome and several else "")
        name, number = stem[:LONGEST_KEY], 2
        while name in self.keys:
            name, number = f"{stem[: LONGEST_KEY - 4]}_{number}", number + 1
        self.keys.add(name)
        return name


@dataclass(frozen=True, slots=True)
class _Part:
    """The steps of one branch; `last` is the step all of its ways end at, if there is one."""

    head: str
    steps: frozenset[str]
    last: str | None


def _region(
    fork: Node,
    successors: _Successors,
    before: Mapping[Node, list[Node]],
    above: Mapping[Node, Node],
    below: Mapping[Node, Node],
) -> Region:
    """The smallest part around a fork that is entered at one place and left to one place."""
    head = fork
    while True:
        stop = below.get(head, _EXIT)
        if stop[1] and stop != _EXIT:
            # The fork of this very step, which the block is about.
            stop = below.get(stop, _EXIT)
        nodes = between(head, stop, successors) - {_EXIT}
        entered = all(set(before[node]) <= nodes | {head} for node in nodes)
        waited_for = head[1] and any(len(before[node]) > 1 for node in successors[head] if node != stop)
        if entered and not waited_for:
            break
        if head not in above:
            raise CircleInFork(f"the ways after the fork at '{fork[0]}' lead back")
        head = above[head]
    steps = frozenset(key for key, outcome in nodes if not outcome)
    if not head[1]:
        steps |= {head[0]}
    return Region(head, steps, None if stop == _EXIT else stop[0])


def _single(targets: tuple[str, ...], steps: Collection[str], entries: Mapping[str, str]) -> str:
    inside = [target for target in targets if target in steps]
    if inside:
        return entries.get(inside[0], inside[0])
    return FAIL if targets == (FAIL,) else END


def _post_dominators(order: list[str], inside: Mapping[str, list[str]], graph: Graph) -> dict[str, str]:
    """The nearest step that every way from a step passes, the end where there is none."""
    successors = {
        key: [*inside[key], *([END] if graph.ends(key) or len(inside[key]) < len(graph.targets(key)) else [])]
        for key in order
    }
    return immediate_dominators(END, reversed_edges(order, successors))
