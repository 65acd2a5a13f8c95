"""Runs that kill their worker, and pipelines that start themselves: set aside with a reason, while others go on."""

import pytest

from tests.faults.conftest import NewScene
from tests.faults.oracle import mails
from tests.faults.scenes import House
from tests.pipelines.engine.building import email

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("poison")]
MOST_DEATHS = 8


def test_f25_a_run_that_kills_its_worker_is_set_aside_and_the_others_go_on(place: House, scene: NewScene) -> None:
    act = scene("mail")
    place.nursery.do("build", key=f"{act.key}p", steps=[{"type": "custom.poison"}, email()])
    place.nursery.do("enter", key=f"{act.key}p", numbers=list(range(20)), receipts=str(act.receipts))
    deaths = 0
    while place.nursery.start("work").wait() == -9:
        deaths += 1
        assert deaths <= MOST_DEATHS
    state = place.nursery.do("state", key=f"{act.key}p")
    assert state["statuses"] == {"4": 19, "5": 1}
    arrived = mails(place.made.smtp.recipients(), f"{act.key}p")
    assert arrived == {f"{act.key}p{n}@example.org": 1 for n in range(20) if n != 7}
    assert "runs.quarantined" in place.nursery.do("findings")
    place.nursery.do("close", key=f"{act.key}p")


def test_f45_pipelines_that_start_each_other_in_a_circle_come_to_an_end(place: House, scene: NewScene) -> None:
    act = scene("records")
    place.nursery.do("build", key="breed", steps=[{"type": "custom.breed"}])
    place.nursery.do("enter", key="breed", numbers=[0], receipts=str(act.receipts))
    place.nursery.do("drain")
    assert len(place.nursery.do("state", key="breed")["contacts"]) == 10
    why = place.nursery.do("query", sql="SELECT why FROM pipelines_enrollmentdecision WHERE decision = 3")
    assert len(why) == 1 and "looks like a circle" in str(why)
    place.nursery.do("close", key="breed")


def test_f45_an_error_path_that_leads_back_to_the_error_comes_to_an_end(place: House, scene: NewScene) -> None:
    act = scene("records")
    wrong, right = {"values": {"no_such_field": "x"}}, {"values": {"lead_source": "circle"}}
    steps = [
        {"key": "fails", "type": "update_record", "with": wrong, "on": {"error": "again"}},
        {"key": "again", "type": "update_record", "with": right, "on": {"next": "fails"}},
    ]
    place.nursery.do("build", key="circle", steps=steps)
    place.nursery.do("enter", key="circle", numbers=[0], receipts=str(act.receipts))
    place.nursery.do("drain")
    sql = "SELECT r.status, r.reason FROM pipelines_pipelinerun r JOIN pipelines_pipeline p ON p.id = r.pipeline_id"
    ((status, reason),) = place.nursery.do("query", sql=f"{sql} WHERE p.key = 'circle'")
    assert status == 5 and "visits" in reason
