"""Commits that never arrive, and commits whose answer never arrives: one change, one effect."""

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.db import connection

from tests.faults.conftest import NewScene
from tests.faults.nursery import Nursery
from tests.faults.proxy import CommitProxy, Cut
from tests.faults.scenes import House

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("lost commits"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="there is no network before SQLite"),
]
# Which commits of a pass are cut: some at its beginning, some in its middle, one near its end.
LOST = {"before": "F08 COMMIT lost on its way", "after": "F09 answer to COMMIT lost"}
SAMPLE = (1, 3, 5, 8, 12, 20)


@pytest.fixture(scope="module")
def proxy() -> Iterator[CommitProxy]:
    at = urlsplit(os.environ["DATABASE_URL"])
    with CommitProxy(host=at.hostname or "127.0.0.1", port=at.port or 5432) as made:
        yield made


@pytest.fixture(scope="module")
def behind(place: House, proxy: CommitProxy) -> Iterator[Nursery]:
    """Workers that reach the database through the proxy."""
    url = urlsplit(place.made.environment["DATABASE_URL"])
    there = url._replace(netloc=f"{url.username}@127.0.0.1:{proxy.port}").geturl()
    nursery = Nursery(folder=place.folder / "behind", environment={**place.made.environment, "DATABASE_URL": there})
    yield nursery
    nursery.close()


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("kind", ["records", "mail"])
def test_f08_f09_a_lost_commit_or_a_lost_answer_changes_everything_once(
    place: House, scene: NewScene, proxy: CommitProxy, behind: Nursery, how: Cut, kind: str
) -> None:
    broken = 0
    for nth in SAMPLE:
        act = scene(kind)
        act.enter()
        proxy.cut(how, nth)
        worker = behind.start("enter_and_work", **act.doomed())
        broken += worker.wait() != 0
        proxy.calm()
        place.nursery.do("drain")
        act.judged(group=LOST[how], fault=f"commit_lost_{how}:{nth}", scene=kind)
        act.close()
    # A lost commit ends a pass with an error; where enrolling met it, the sweep mends it silently.
    assert broken >= 2
