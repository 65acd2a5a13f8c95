"""The example of docs/custom-actions.md, and what an action of a project is promised."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from django.core import mail
from pytest_django import Settings

from contacts.models import Contact
from crm.models import Team
from pipelines.actions.base import Await, DeliveryError, EffectRequest, Fail, Input, Kind, Outcome
from pipelines.actions.registry import kinds
from pipelines.definition.program import Step
from pipelines.models import Effect, PipelineRun
from pipelines.operations import validate_document
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, document, email, later
from tests.pipelines.engine.conftest import Run

ORDERS: list[tuple[str, Mapping[str, Any]]] = []
PRINTER: dict[str, Any] = {"broken": 0, "silent": False, "answer": None}


class SendPostcard(Kind):
    """Orders a printed postcard for the contact."""

    code = "custom.send_postcard"
    label = "Send postcard"
    effects = True
    idempotent = True
    requires_subject = True
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["motif"],
        "properties": {"motif": {"type": "string", "title": "Motif", "enum": ["sea", "mountains"]}},
    }

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._decide(step, visit) for visit in batch]

    def _decide(self, step: Step, visit: Input) -> Outcome:
        params = step.params.evaluate(visit.context)
        subject: Any = visit.subject
        if not subject["last_name"]:
            return Fail("This contact has no last name.", code="validation")
        return Await(EffectRequest("custom", payload={"motif": params["motif"], "name": subject["name"]}))

    def deliver(self, *, payload: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        ORDERS.append((key, payload))
        if PRINTER["broken"]:
            PRINTER["broken"] -= 1
            raise DeliveryError("The printer is out of paper.", code="connection")
        if PRINTER["silent"]:
            raise TimeoutError("no answer")
        return PRINTER["answer"] or {"order": len(ORDERS)}


@pytest.fixture(autouse=True)
def a_project_with_a_printer(settings: Settings) -> Iterator[None]:
    settings.PIPELINES_ACTIONS = [f"{__name__}.SendPostcard"]
    kinds.cache_clear()
    ORDERS.clear()
    PRINTER.update(broken=0, silent=False, answer=None)
    yield
    kinds.cache_clear()


POSTCARD = {"key": "card", "type": "custom.send_postcard", "with": {"motif": "sea"}}


def test_it_is_delivered_and_later_steps_read_its_answer(team: Team, run_at: Run) -> None:
    active(team, [POSTCARD, email("Order {{ steps.card.order }}")])
    Contact.objects.create(team=team, first_name="Ann", last_name="Lee", email="a@example.org")
    run_at(NOON)
    assert [payload for _, payload in ORDERS] == [{"motif": "sea", "name": "Ann Lee"}]
    assert mail.outbox[0].body.startswith("Order 1")


@pytest.mark.parametrize(
    "answer", [{"price": float("nan")}, {"note": "a\x00b"}, {"note": "\ud800"}], ids=["nan", "nul", "half-character"]
)
def test_an_answer_no_database_could_hold_stops_nobody(team: Team, run_at: Run, answer: dict[str, Any]) -> None:
    PRINTER["answer"] = answer
    active(team, [POSTCARD])
    for number in range(2):
        Contact.objects.create(team=team, last_name="Lee", email=f"c{number}@example.org")
    run_at(NOON)
    assert len(ORDERS) == 2
    assert not Effect.objects.filter(status__in=[Effect.Status.LEASED, Effect.Status.SENDING]).exists()


def test_a_definite_no_is_tried_again_with_the_same_key(team: Team, run_at: Run) -> None:
    PRINTER["broken"] = 2
    active(team, [{**POSTCARD, "retry": {"max": 3, "delay": 60}}])
    Contact.objects.create(team=team, last_name="Lee")
    for minutes in (0, 5, 30):
        run_at(later(minutes=minutes))
    assert len(ORDERS) == 3 and len({key for key, _ in ORDERS}) == 1
    assert PipelineRun.objects.get().status == RunStatus.COMPLETED


def test_a_lost_answer_is_left_to_a_person_when_once_is_asked_for(team: Team, run_at: Run) -> None:
    PRINTER["silent"] = True
    active(team, [{**POSTCARD, "delivery": "at_most_once"}, email()])
    Contact.objects.create(team=team, last_name="Lee", email="a@example.org")
    run_at(NOON)
    run_at(later(days=1))
    assert len(ORDERS) == 1 and Effect.objects.filter(status=Effect.Status.UNCERTAIN).exists()
    assert len(mail.outbox) == 1


def test_an_action_that_names_what_it_answers_is_held_to_it(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [POSTCARD, email("Order {{ steps.card.ordre }}")]
    assert validate_document(document(steps), team) == []
    monkeypatch.setattr(SendPostcard, "outputs", lambda self, step: frozenset({"order"}))
    (problem,) = validate_document(document(steps), team)
    assert "the step 'card' puts out no 'ordre'; did you mean 'order'?" in problem.message


def test_a_retry_of_what_may_not_be_done_twice_is_warned_about(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    retried = {**POSTCARD, "retry": {"max": 3}}

    def warned(step: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
        problems = validate_document(document([step], **more), team)
        return [(each.path, each.severity) for each in problems if "idempotent" in each.message]

    assert warned(retried) == []
    monkeypatch.setattr(SendPostcard, "idempotent", False)
    assert warned(retried) == [("steps[0].retry", "warning")]
    assert warned(POSTCARD, settings={"retry": {"max": 3}}) == [("steps[0]", "warning")]
    assert warned(POSTCARD) == warned({**retried, "delivery": "at_most_once"}) == []
    monkeypatch.setattr(SendPostcard, "effects", False)
    assert warned(retried) == []


def test_its_parameters_are_checked_at_import(team: Team) -> None:
    from pipelines.operations import InvalidDocument

    with pytest.raises(InvalidDocument) as refused:
        active(team, [{**POSTCARD, "with": {"motif": "desert"}}])
    assert refused.value.problems[0].path == "steps[0].with.motif"
