"""From where the output of a step can be seen: lists of steps inside each other, and branches side by side."""

from collections.abc import Mapping
from typing import Any

from .blocks import split_after
from .flow import reachable
from .layout import Path, Place, every_place, scope_name

_Chain = list[tuple[str, str]]


class Visibility:
    """Which outputs a place of one document can see; `graphs` says per list which step leads where."""

    def __init__(self, document: Mapping[str, Any], graphs: Mapping[str, Mapping[str, frozenset[str]]]) -> None:
        self._places = {place.key: place for place in every_place(document)}
        self._graphs = graphs

    def beside(self, place: Place, inside: Path, source: str) -> str | None:
        """The block in which a step runs in another branch, unless this branch comes after that one."""
        here, there = self._chains(place, inside, source)
        for position, (mine, theirs) in enumerate(zip(here, there, strict=False)):
            if mine[0] != theirs[0]:
                block = here[position - 1][1]
                return None if theirs[0] in self._earlier(block, mine[0]) else block
            if mine[1] != theirs[1]:
                return None
        return None

    def is_before(self, place: Place, inside: Path, source: str) -> bool:
        """Whether a step may have run when this place reads its output."""
        here, there = self._chains(place, inside, source)
        for mine, theirs in zip(here, there, strict=False):
            if mine == theirs:
                continue
            if mine[0] != theirs[0]:
                return True
            graph = self._graphs.get(mine[0], {})
            return theirs[1] not in graph or mine[1] in reachable(graph, theirs[1])
        return len(there) >= len(here) or not there

    def _chains(self, place: Place, inside: Path, source: str) -> tuple[_Chain, _Chain]:
        found = self._places.get(source)
        here = self._chain(place)
        if inside[:2] == ("with", "branches"):
            branch = place.step["with"]["branches"][inside[2]]
            here.append((scope_name(place.key, str(branch.get("name", ""))), ""))
        return here, self._chain(found) if found else []

    def _chain(self, place: Place) -> _Chain:
        """The lists around a step from the outside in, each with the step that stands in it."""
        chain: _Chain = []
        at: Place | None = place
        while at is not None:
            chain.insert(0, (at.scope, at.key))
            at = self._places.get(at.parent) if at.parent is not None else None
        return chain

    def _earlier(self, block: str, scope: str) -> frozenset[str]:
        """The lists of all branches of a block that a branch comes after."""
        step = self._places[block].step
        branches = step["with"].get("branches", ()) if step.get("type") == "parallel" else ()
        after = {
            scope_name(block, branch["name"]): frozenset(
                scope_name(block, split_after(text)[0]) for text in branch.get("after", ())
            )
            for branch in branches
        }
        return reachable(after, scope) - {scope}
