"""The embedded database under several writers, a long reader and a death in the middle of a commit."""

import pytest
from django.db import connection

from tests.faults.conftest import NewScene
from tests.faults.scenes import House

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="about the embedded database only"),
]


def test_f46_four_writers_a_reader_and_a_death_lose_nothing_and_meet_no_lock(place: House, scene: NewScene) -> None:
    act = scene("mail")
    act.enter(5)
    reader = place.nursery.start("read_for", seconds=1.0)
    receipts = str(act.receipts)
    writers = [
        place.nursery.start("enter", key=act.key, numbers=act.numbers(15), receipts=receipts, one_by_one=True)
        for _ in range(4)
    ]
    doomed = place.nursery.start("work", fault="before_commit:kill9")
    assert doomed.wait() == -9
    worker = place.nursery.start("work")
    assert [child.wait() for child in (*writers, worker, reader)] == [0] * 6
    place.nursery.do("drain")
    act.judged(fault="F46 four writers, a reader, a death", scene="mail")
    assert place.nursery.do("query", sql="PRAGMA integrity_check") == [["ok"]]
    assert place.nursery.do("query", sql="PRAGMA synchronous") == [[2]]
