"""Deaths and races around saving, unsubscribing and operating: once, or not at all."""

import pytest
from django.db import connection

from tests.faults.conftest import NewScene
from tests.faults.oracle import mails
from tests.faults.scenes import House
from tests.project.processes import eventually

WAITING_FOR_LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("races")]


def test_f01_a_contact_that_was_saved_is_enrolled_though_the_process_died_at_once(
    place: House, scene: NewScene
) -> None:
    act = scene("mail")
    numbers = act.numbers(1)
    assert place.nursery.start("die_after_saving", key=act.key, number=numbers[0]).wait() == -9
    place.nursery.do("drain")
    assert mails(place.made.smtp.recipients(), act.key) == {f"{act.key}0@example.org": 1}


def test_f02_a_contact_that_was_rolled_back_gets_nothing(place: House, scene: NewScene) -> None:
    act = scene("mail")
    place.nursery.do("save_and_roll_back", key=act.key, number=0)
    place.nursery.do("drain")
    assert not mails(place.made.smtp.recipients(), act.key)
    assert place.nursery.do("state", key=act.key)["runs"] == {}


def test_f03_four_processes_that_enroll_the_same_fifty_make_fifty_runs(place: House, scene: NewScene) -> None:
    source, target = scene("records"), scene("mail")
    source.enter(50)
    workers = [place.nursery.start("enroll_everybody", key=target.key, source=source.key) for _ in range(4)]
    assert sum(worker.answer for worker in workers) == 50
    rows = place.nursery.do("query", sql=f"SELECT count(*) FROM pipelines_pipelinerun r JOIN pipelines_pipeline p"
                                         f" ON p.id = r.pipeline_id WHERE p.key = '{target.key}'")  # fmt: skip
    assert rows == [[50]]


def test_f35_who_unsubscribed_before_the_handing_over_gets_nothing(place: House, scene: NewScene) -> None:
    act = scene("mail")
    act.enter(5)
    worker = place.nursery.start("work", fault="before_sending:stop")
    assert worker.wait() is None
    assert place.nursery.do("unsubscribe", address=f"{act.key}0@example.org") == 200
    worker.go_on()
    assert worker.wait() == 0
    assert mails(place.made.smtp.recipients(), act.key) == {f"{act.key}{n}@example.org": 1 for n in range(1, 5)}


def test_f35_who_unsubscribed_during_the_handing_over_gets_this_and_no_more(place: House, scene: NewScene) -> None:
    act = scene("mail")
    act.enter(1)
    address = f"{act.key}0@example.org"
    place.nursery.do("query", sql="DELETE FROM crm_suppression")
    worker = place.nursery.start("work", fault="in_send:stop")
    assert worker.wait() is None
    # "Done" would promise that nothing more arrives, so the answer waits until the message has left.
    wish = place.nursery.start("unsubscribe", address=address)
    eventually(lambda: place.nursery.do("query", sql="SELECT count(*) FROM crm_suppression") == [[1]])
    assert not wish.ended, wish.answer
    worker.go_on()
    assert worker.wait() == 0 and wish.answer == 200
    assert place.nursery.do("messages", key=act.key) == {"sent": 1}
    again = scene("mail")
    rows = place.nursery.do("enroll_everybody", key=again.key, source=act.key)
    place.nursery.do("drain")
    assert rows == 1 and place.made.smtp.recipients().count(address) == 1


def test_f35_who_unsubscribed_between_the_look_and_the_mark_is_told_after_it_has_left(
    place: House, scene: NewScene
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("one writer at a time")
    act = scene("mail")
    act.enter(1)
    worker = place.nursery.start("work", fault="in_marking:stop")
    assert worker.wait() is None
    wish = place.nursery.start("unsubscribe", address=f"{act.key}0@example.org")
    eventually(lambda: place.nursery.do("query", sql=WAITING_FOR_LOCKS) == [[1]])
    assert not wish.ended, wish.answer
    worker.go_on()
    assert worker.wait() == 0 and wish.answer == 200
    # It was looked up before the wish and left before the answer.
    assert mails(place.made.smtp.recipients(), act.key) == {f"{act.key}0@example.org": 1}
    assert place.nursery.do("messages", key=act.key) == {"sent": 1}


def test_f37_two_operators_who_retry_one_run_at_once_cause_one_retry(place: House, scene: NewScene) -> None:
    act = scene("mail")
    act.enter(1)
    address = f"{act.key}0@example.org"
    place.made.smtp.unknown = {address}
    place.nursery.do("drain")
    place.made.smtp.unknown = set()
    place.nursery.do("query", sql="DELETE FROM crm_suppression")
    ((run_id,),) = place.nursery.do("query", sql="SELECT max(id) FROM pipelines_pipelinerun")
    workers = [place.nursery.start("retry", run_id=run_id) for _ in range(4)]
    assert sorted(worker.answer for worker in workers) == [0, 0, 0, 1]
    place.nursery.do("drain")
    assert mails(place.made.smtp.recipients(), act.key) == {address: 1}


def test_f37_two_people_who_send_a_doubtful_message_again_send_it_once_more(place: House, scene: NewScene) -> None:
    act = scene("mail")
    act.enter(1)
    place.made.smtp.behavior = "drop_after_dot"
    place.nursery.do("work")
    place.made.smtp.behavior = "accept"
    assert place.nursery.do("messages", key=act.key) == {"uncertain": 1}
    ((message_id,),) = place.nursery.do("query", sql="SELECT max(id) FROM crm_message")
    workers = [place.nursery.start("send_once_more", message_id=message_id) for _ in range(4)]
    assert sorted(worker.answer for worker in workers) == [False, False, False, True]
    place.nursery.do("drain")
    assert mails(place.made.smtp.recipients(), act.key) == {f"{act.key}0@example.org": 2}


@pytest.mark.parametrize("hours", [1.0, -1.0])
def test_f30_a_worker_whose_clock_is_wrong_steals_no_lease_and_sends_nothing_early(
    place: House, scene: NewScene, hours: float
) -> None:
    act = scene("mail")
    act.enter(5)
    first = place.nursery.start("work", fault="before_sending:stop")
    assert first.wait() is None
    place.nursery.do("with_clock_off_by", hours=hours)
    first.go_on()
    assert first.wait() == 0
    assert mails(place.made.smtp.recipients(), act.key) == {f"{act.key}{n}@example.org": 1 for n in range(5)}
    assert place.nursery.do("messages", key=act.key) == {"sent": 5}
