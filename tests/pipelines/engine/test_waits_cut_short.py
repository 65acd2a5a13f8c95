"""A branch that waits for an event and is called off, because its block is to be tried again, misses nothing."""

from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.controls import retry_runs
from pipelines.engine.events import Fact, publish_all
from pipelines.engine.replaying import replay
from pipelines.models import EventWait, PipelineRun
from pipelines.states import RunStatus
from tests.pipelines.engine.building import email, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.engine.repeating import DONE, PICKY, Step, begun, fork, mend, sent, state, wait

RETRY: dict[str, Any] = {"max": 2, "delay": "10m", "backoff": 1}
TELL = email("{{ steps.hold.outcome }}", key="tell")


def hold(*events: Step, key: str = "hold", then: str = "tell") -> Step:
    return {"key": key, "type": "wait_for", "with": {"events": list(events)}, "timeout": "2h", "on": {"timeout": then}}


def called_off(team: Team, run_at: Run, *steps: Step, **rules: Any) -> PipelineRun:
    """A run whose block failed after a minute, while one of its branches waited."""
    block = fork(("patient", [*steps, TELL]), ("bad", [wait("rest", "1m"), PICKY]))
    run = begun(team, run_at, {**block, **rules}, DONE)
    run_at(later(minutes=1))
    assert not PipelineRun.objects.filter(parent=run, finished_at=None).exists()
    return run


def tell(team: Team, run_at: Run, event: str, *, minutes: int) -> None:
    run_at(later(minutes=minutes))
    kind = ContentType.objects.get_for_model(Contact).pk
    publish_all([Fact(team.pk, event, kind, Contact.objects.get().pk)])
    run_at(later(minutes=minutes))


def test_what_came_between_two_tries_counts(team: Team, run_at: Run) -> None:
    run = called_off(team, run_at, hold({"event": "go"}), retry=RETRY)
    tell(team, run_at, "go", minutes=5)
    run_at(later(minutes=11))
    assert sent() == [], "the other branch failed at once and it was called off again"
    mend()
    run_at(later(minutes=21))
    assert state(run) == RunStatus.COMPLETED and sent() == ["go", "done after 0"]


def test_what_came_before_somebody_s_retry_counts_too(team: Team, run_at: Run) -> None:
    run = called_off(team, run_at, hold({"event": "go"}))
    tell(team, run_at, "go", minutes=5)
    mend()
    assert retry_runs(run_ids=[run.pk]) == 1
    run_at(later(minutes=6))
    assert state(run) == RunStatus.COMPLETED and sent() == ["go", "done after 0"]


@pytest.mark.parametrize("delay", ["0s", "1m"], ids=["in one go", "after a while"])
def test_what_an_earlier_wait_did_not_need_is_nothing_to_the_next(team: Team, run_at: Run, delay: str) -> None:
    first = hold({"event": "no"}, {"event": "go"}, key="first", then="hold")
    second = {**hold({"event": "other"}, {"event": "go"}), "delay": delay}
    run = called_off(team, run_at, first, second, retry=RETRY)
    mend()
    tell(team, run_at, "no", minutes=12)
    run_at(later(minutes=13))
    began = EventWait.objects.get(event="go", status=EventWait.Status.OPEN).since
    assert began == later(minutes=12 if delay == "0s" else 13)
    assert state(run) == RunStatus.WAITING


def test_who_is_led_back_to_a_wait_begins_to_wait_then(team: Team, run_at: Run) -> None:
    run = begun(team, run_at, {"key": "first", "type": "wait"}, hold({"event": "go"}), TELL)
    run_at(later(minutes=5))
    replay(run=run, step="hold", confirm=True)
    run_at(later(minutes=5))
    assert EventWait.objects.get(status=EventWait.Status.OPEN).since == later(minutes=5)
