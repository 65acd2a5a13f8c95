"""Every fault point with every action: nothing is lost, nothing happens twice, doubt is told.

The suite kills and fails at every point in every scene that meets it, and walks the three gentler actions through one
scene a point, in turn; `EXAMPLES=walk`, as in `make chaos`, walks the whole product, `thorough` with more people.
"""

import os
import time
from contextlib import suppress

import pytest
from django.db import connection

from crm.faults import ACTIONS
from tests.faults.conftest import NewScene
from tests.faults.nursery import Child
from tests.faults.points import all_points
from tests.faults.scenes import (
    ASKED,
    BEFORE,
    BY_PROVIDERS,
    DURING,
    KINDS,
    NEWS,
    POSTED,
    RULED,
    SMS,
    TIMED,
    TOLD,
    House,
    Scene,
)

# One house, in which the points of each scene are found once, although two workers share the suite.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("every point")]
POINTS = all_points()
DEPTH = os.environ.get("EXAMPLES", "suite")
IN_PEACE = BEFORE if DEPTH == "thorough" else 5
IN_EVERY_SCENE = ("kill9", "raise")
CASES = [(point, action) for point in sorted(POINTS) for action in ACTIONS]


@pytest.fixture(scope="module")
def met(place: House) -> dict[str, set[str]]:
    """The points that a worker meets in each scene, found by walking through it once."""
    found = {}
    for kind in (*KINDS, POSTED):
        scene = Scene(place, kind)
        scene.build()
        scene.enter(DURING)
        found[kind] = set(place.nursery.do("met", **scene.doomed()))
    common = set().union(*found.values()) - {"in_dispatch"}
    for kind in (TOLD, TIMED, RULED):
        scene = Scene(place, kind)
        scene.build()
        scene.enter(DURING)
        # What follows after somebody has entered is the same for all.
        found[kind] = set(place.nursery.do("met", **scene.doomed())) - common
    for kind in (SMS, NEWS, ASKED):
        scene = Scene(place, kind)
        scene.build()
        scene.enter(DURING)
        # What is told to webhooks is written together with what it tells of; the others leave when that is done.
        found[kind] = set(place.nursery.do("met", **scene.doomed())) - (set() if kind == NEWS else found["records"])
        scene.close()
    # They differ by the provider that gets them, not by what a worker does.
    return found | dict.fromkeys(BY_PROVIDERS, found[SMS])


def test_every_point_is_met_in_some_scene(met: dict[str, set[str]]) -> None:
    assert set().union(*met.values()) == set(POINTS)


@pytest.mark.parametrize(("point", "action"), CASES, ids=[f"{point}-{action}" for point, action in CASES])
def test_a_worker_breaks_there_and_the_work_is_done_all_the_same(
    place: House, scene: NewScene, met: dict[str, set[str]], point: str, action: str
) -> None:
    for kind in _scenes([kind for kind in met if point in met[kind]], point, action):
        act = scene(kind)
        act.enter(IN_PEACE)
        worker = place.nursery.start("enter_and_work", fault=f"{point}:{action}", **act.doomed())
        _break(place, worker, point, action)
        place.nursery.at_hand("drain")
        act.judged(group="every point × every action", fault=f"{point}:{action}", scene=kind, excused=DURING)


def _scenes(kinds: list[str], point: str, action: str) -> list[str]:
    """All that meet the point, or the one whose turn it is: neighbors in the list of cases get different ones.

    The suite takes one channel of those that go by providers, each in its turn.
    """
    if DEPTH in ("walk", "thorough"):
        return kinds
    turn = CASES.index((point, action))
    if action not in IN_EVERY_SCENE:
        return [kinds[turn % len(kinds)]]
    letters = [kind for kind in kinds if kind in BY_PROVIDERS]
    return [kind for kind in kinds if kind not in letters] + letters[turn % 4 :][:1]


def _break(place: House, worker: Child, point: str, action: str) -> None:
    """Let the fault happen, with a second worker beside it where the first goes on afterwards."""
    match action:
        case "kill9":
            assert worker.wait() == -9
        case "sleep":
            second = place.nursery.start("work")
            assert [worker.wait(), second.wait()] == [0, 0]
        case "stop":
            assert worker.wait() is None
            _others_meanwhile(place, point)
            worker.go_on()
            assert worker.wait() in (0, 1)
        case _:
            # An error in taking people in is caught; elsewhere it ends the pass.
            assert worker.wait() in (0, 1)


def _others_meanwhile(place: House, point: str) -> None:
    """Somebody else works while the first stands still, long enough for its leases to end."""
    if not POINTS[point].in_transaction:
        place.nursery.at_hand("end_leases")
        place.nursery.at_hand("work")
    elif connection.vendor == "postgresql":
        second = place.nursery.start("work")
        until = time.monotonic() + 0.5
        while not second.ended and time.monotonic() < until:
            time.sleep(0.02)
        if not second.ended:
            with suppress(ProcessLookupError):
                second.kill()
