"""In which order tests run: those that wait for programs beside those that compute, so that no core stands still."""

from collections.abc import Iterator, Sequence
from itertools import islice

import pytest

# Of the quick tests; those that are left fill up what is uneven between the workers at the end.
STRETCH = 0.85


def spread(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The largest group first, then slow tests and groups evenly among the first of the quick ones, which follow each
    other as they did."""
    quick = [item for item in items if not _is_long(item)]
    units = _units([item for item in items if _is_long(item)])
    return list(_mixed(units, quick))


def _is_long(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("slow", "xdist_group"))


def _units(items: Sequence[pytest.Item]) -> list[list[pytest.Item]]:
    """What one worker does without a break, the largest first."""
    found: dict[str, list[pytest.Item]] = {}
    for item in items:
        mark = item.get_closest_marker("xdist_group")
        found.setdefault(str(mark.args[0]) if mark else item.nodeid, []).append(item)
    return sorted(found.values(), key=len, reverse=True)


def _mixed(units: Sequence[Sequence[pytest.Item]], quick: Sequence[pytest.Item]) -> Iterator[pytest.Item]:
    rest = iter(quick)
    between = int(len(quick) * STRETCH / max(len(units), 1))
    for unit in units:
        yield from unit
        yield from islice(rest, between)
    yield from rest
