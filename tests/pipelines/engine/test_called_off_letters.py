"""Letters that are being handed over when their run is ended: none leaves later, and none leaves twice."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from crm.channels.base import Delivered, Refused, Unknown
from crm.models import Message, Team
from pipelines.engine.controls import cancel_runs, send_again
from pipelines.engine.deliver import Delivery, delivered_by
from pipelines.engine.leases import give_back_unsent, keep_unsent, start_sending
from pipelines.engine.settle import settle
from pipelines.engine.store import store
from pipelines.models import Effect, PipelineRun
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, email, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.engine.repeating import DONE, PICKY, begun, fork, mend, sent, state, wait

RETRY: dict[str, Any] = {"max": 2, "delay": "10m"}
BUSY = Refused(code="smtp_4xx", detail="busy", permanent=False)


class Slow:
    """A mail server that takes its time: letters are handed over, and the answers are for the test to give."""

    def __init__(self) -> None:
        self.letters: list[Effect] = []

    def __call__(self, *, now: datetime) -> Delivery:
        until = now + timedelta(days=1)
        with transaction.atomic():
            leased = store().lease_effects(
                kind=Effect.Kind.EMAIL, now=now, real_now=now, until=until, limit=9, worker=1
            )
        self.letters += start_sending(leased)
        messages = [effect.payload["message"] for effect in self.letters]
        Message.objects.filter(pk__in=messages).update(state=Message.State.SENDING)
        return Delivery()


def called_off(team: Team, run_at: Run) -> tuple[PipelineRun, list[Effect]]:
    """A branch that was called off while its letter was handed over, and that letter."""
    slow = Slow()
    letters = [email("letter", key="letter"), email("next", key="then")]
    block = fork(("slow", letters), ("bad", [wait("rest", "1m"), PICKY]))
    with delivered_by(slow):
        run = begun(team, run_at, {**block, "retry": RETRY}, DONE)
        run_at(later(minutes=1))
    assert state(run) == RunStatus.PENDING
    mend()
    return run, slow.letters


def statuses() -> Sequence[int]:
    return list(Effect.objects.order_by("pk").values_list("status", flat=True))


def test_a_letter_that_left_is_not_sent_again_by_the_next_try(team: Team, run_at: Run) -> None:
    run, letters = called_off(team, run_at)
    settle([(letters[0], Delivered(reference="x"))], now=later(minutes=2))
    run_at(later(minutes=11))
    assert state(run) == RunStatus.COMPLETED and sent() == ["next", "done after 0"]


def test_a_letter_that_is_still_on_its_way_is_waited_for(team: Team, run_at: Run) -> None:
    run, letters = called_off(team, run_at)
    run_at(later(minutes=11))
    assert state(run) == RunStatus.WAITING and sent() == []
    settle([(letters[0], Delivered(reference="x"))], now=later(minutes=12))
    run_at(later(minutes=12))
    assert state(run) == RunStatus.COMPLETED and sent() == ["next", "done after 0"]


def test_a_letter_that_did_not_leave_leaves_at_the_next_try_and_once(team: Team, run_at: Run) -> None:
    run, letters = called_off(team, run_at)
    settle([(letters[0], BUSY)], now=later(minutes=2))
    run_at(later(minutes=10))
    assert sent() == []
    run_at(later(minutes=11))
    assert state(run) == RunStatus.COMPLETED and sent() == ["letter", "next", "done after 0"]


@pytest.mark.parametrize("how", ["refused", "given back", "kept"])
@pytest.mark.parametrize("ended", [True, False], ids=["ended", "live"])
def test_a_letter_of_a_run_that_was_ended_does_not_leave_later(team: Team, run_at: Run, how: str, ended: bool) -> None:
    slow = Slow()
    with delivered_by(slow):
        run = begun(team, run_at, email("letter"))
    if ended:
        cancel_runs(run_ids=[run.pk])
    match how:
        case "refused":
            settle([(slow.letters[0], BUSY)], now=NOON)
        case "given back":
            give_back_unsent(slow.letters, until=NOON)
        case "kept":
            keep_unsent([(slow.letters[0], NOON, "pace")])
    assert Message.objects.get().state == (Message.State.CANCELLED if ended else Message.State.QUEUED)
    run_at(later(hours=1))
    assert sent() == ([] if ended else ["letter"])


def test_what_a_person_sends_again_is_tried_again_though_its_run_has_ended(team: Team, run_at: Run) -> None:
    slow = Slow()
    with delivered_by(slow):
        begun(team, run_at, email("letter"))
        settle([(slow.letters[0], Unknown(detail="gone"))], now=NOON)
        assert send_again(message=Message.objects.get())
        run_at(NOON)
        settle([(slow.letters[1], BUSY)], now=NOON)
    assert statuses() == [Effect.Status.UNCERTAIN, Effect.Status.QUEUED]


def test_a_letter_that_was_refused_for_good_is_sent_anew_by_the_next_try(team: Team, run_at: Run) -> None:
    slow = Slow()
    with delivered_by(slow):
        run = begun(team, run_at, {**fork(("one", [email("letter")])), "retry": RETRY}, DONE)
        settle([(slow.letters[0], Refused(code="smtp_5xx", detail="no", permanent=True))], now=NOON)
        run_at(NOON)
    assert state(run) == RunStatus.PENDING
    run_at(later(minutes=10))
    assert state(run) == RunStatus.COMPLETED and sent() == ["letter", "done after 0"]


def test_a_letter_whose_run_was_erased_is_forgotten(team: Team, run_at: Run) -> None:
    slow = Slow()
    with delivered_by(slow):
        run = begun(team, run_at, email("letter"))
    run.delete()
    give_back_unsent(slow.letters, until=NOON)
    assert not Effect.objects.exists()
