"""Two at work on one block at the same moment: a worker that opens it or tries it again, and somebody by hand."""

from collections.abc import Callable
from threading import Event, Thread, current_thread
from typing import Any

import pytest
from django.db import connection, connections
from pytest_django import Settings

from contacts.models import Contact
from crm import faults
from crm.models import Team
from pipelines.engine import advance
from pipelines.engine.clock import set_test_clock
from pipelines.engine.controls import cancel_runs, retry_runs
from pipelines.engine.tick import process_due_runs
from pipelines.models import PipelineRun
from pipelines.states import RunPhase, RunStatus
from tests.pipelines.engine.building import NOON, active, email, later
from tests.pipelines.engine.repeating import COUNT, DONE, LIMIT, PICKY, Step, fork, mend, sent, state, wait

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="there is one writer at a time"),
]
SLOW = ("slow", [wait("rest", "1h"), email("late", key="late")])
WORKER = "worker"


@pytest.fixture(autouse=True)
def clock(settings: Settings) -> None:
    settings.DEBUG = settings.PIPELINES_TEST_CLOCK = True
    set_test_clock(NOON)


def entered(*steps: Step) -> PipelineRun:
    team = Team.objects.create(name="Race", slug="race")
    active(team, [*steps, DONE], variables=[COUNT, LIMIT])
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    return PipelineRun.objects.get()


def about_to_repeat() -> PipelineRun:
    """A run whose block failed at one branch, called off the other, and is due to try again."""
    run = entered({**fork(("bad", [PICKY]), SLOW), "retry": {"max": 1, "delay": "10m"}})
    process_due_runs()
    run.refresh_from_db()
    assert run.phase == RunPhase.REPEAT
    mend()
    set_test_clock(later(minutes=10))
    return run


def meet(monkeypatch: pytest.MonkeyPatch, where: str, by_hand: Callable[[], Any]) -> list[str]:
    """Stop a worker inside its first transaction, do something else, then let it go on; what went wrong in either."""
    there, onwards, wrong = Event(), Event(), list[str]()

    def point(name: str, **more: Any) -> None:
        if name == where and current_thread().name == WORKER and not there.is_set():
            there.set()
            # Whoever waits for a lock of this transaction does not come back before it has ended.
            onwards.wait(1)
        faults.point(name, **more)

    def run(work: Callable[[], Any]) -> None:
        try:
            work()
        except Exception as error:
            wrong.append(str(error))
        finally:
            connections.close_all()

    monkeypatch.setattr(advance, "point", point)
    worker = Thread(target=run, args=(process_due_runs,), name=WORKER)
    worker.start()
    assert there.wait(30)
    other = Thread(target=run, args=(by_hand,))
    other.start()
    for thread in (other, worker):
        thread.join(60)
        onwards.set()
    return wrong


@pytest.mark.parametrize("again", [False, True], ids=["opened", "tried again"])
def test_who_is_cancelled_while_branches_begin_is_cancelled_with_them(
    monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    run = about_to_repeat() if again else entered(fork(SLOW))
    assert meet(monkeypatch, "before_commit", lambda: cancel_runs(run_ids=[run.pk])) == []
    set_test_clock(later(hours=3))
    process_due_runs()
    assert state(run) == RunStatus.CANCELLED and sent() == []
    assert not PipelineRun.objects.filter(finished_at=None).exists()


@pytest.mark.parametrize("where", ["after_claim", "before_commit"])
def test_a_branch_that_is_retried_while_its_block_tries_again_begins_once(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    run = about_to_repeat()
    bad = PipelineRun.objects.get(parent=run, slot=0)
    assert meet(monkeypatch, where, lambda: retry_runs(run_ids=[bad.pk])) == []
    set_test_clock(later(hours=3))
    process_due_runs()
    assert state(run) == RunStatus.COMPLETED and sent() == ["late", "done after 0"]
