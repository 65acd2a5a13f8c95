"""Incoming webhooks under fire: what got an answer is stored, and whatever is posted again counts once."""

import pytest

from tests.faults.conftest import NewScene
from tests.faults.scenes import POSTED, House

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("incoming")]


def test_f32_the_same_post_from_four_senders_a_hundred_times_is_stored_once(place: House, scene: NewScene) -> None:
    act = scene(POSTED)
    number = act.numbers(1)[0]
    senders = [place.nursery.start("post_again_and_again", key=act.key, number=number, times=25) for _ in range(4)]
    answers = [status for sender in senders for status in sender.answer]
    assert sorted(answers) == [200] * 99 + [202]
    place.nursery.do("drain")
    assert place.nursery.do("state", key=act.key)["runs"] == {f"{act.key}0@example.org": 1}


@pytest.mark.parametrize("point", ["in_hook", "after_hook"])
def test_f34_a_sender_that_got_no_answer_posts_again_and_there_is_one_run(
    place: House, scene: NewScene, point: str
) -> None:
    act = scene(POSTED)
    number = act.numbers(1)[0]
    web = place.nursery.start("post", fault=f"{point}:kill9", key=act.key, number=number, message_id="msg-0")
    assert web.wait() == -9
    assert place.nursery.do("post", key=act.key, number=number, message_id="msg-0") in (200, 202)
    place.nursery.do("drain")
    assert place.nursery.do("state", key=act.key)["runs"] == {f"{act.key}0@example.org": 1}
