"""SMS, push and WhatsApp messages: kept by the twin, at most once, never to those who do not want them."""

from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from contacts.models import Contact
from crm.channels.base import Delivered, DeliveryResult, Refused
from crm.channels.captured import captured_names, read_captured
from crm.channels.letters import Letter, device_token, phone_number
from crm.models import Message, MessageTemplate, Suppression, Team
from pipelines.models import Effect, PipelineRun, StepExecution
from pipelines.operations import InvalidDocument, validate_document
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, document, later
from tests.pipelines.engine.conftest import Run

KEPT = "crm.channels.captured.LetterBox"


@pytest.fixture
def box(settings: Settings, tmp_path: Path) -> Any:
    """What the twin kept, oldest first, as (channel, recipients, title, text)."""
    settings.CAPTURED_MAIL_DIR = str(tmp_path / "mail")
    settings.MESSAGE_CHANNELS = dict.fromkeys(("sms", "push", "whatsapp"), KEPT)

    def read() -> list[tuple[str, str, str, str]]:
        kept = [read_captured(name) for name in reversed(captured_names())]
        return [
            (str(mail["X-Channel"]), str(mail["X-To"]), str(mail["Subject"]), mail.get_content().strip())
            for mail in kept
            if mail is not None
        ]

    return read


def test_an_sms_a_push_and_a_whatsapp_message_reach_the_twin(team: Team, run_at: Run, box: Any) -> None:
    active(
        team,
        [
            {"type": "send_sms", "message": "Hi {{ contact.first_name }}"},
            {"type": "send_push", "with": {"to": ["{{ contact.device_token }}"], "title": "Come back!", "body": "Now"}},
            {"type": "send_whatsapp", "with": {"text": "Hello"}},
        ],
    )
    Contact.objects.create(team=team, first_name="Ann", phone="+49 (151) 123-456", custom={"device_token": "tok1"})
    run_at(NOON)
    assert box() == [
        ("sms", "+49151123456", "SMS to +49151123456", "Hi Ann"),
        ("push", "tok1", "Come back!", "Now"),
        ("whatsapp", "+49151123456", "WhatsApp messages to +49151123456", "Hello"),
    ]
    assert list(Message.objects.order_by("pk").values_list("channel", "state")) == [
        ("sms", "sent"), ("push", "sent"), ("whatsapp", "sent"),
    ]  # fmt: skip
    assert PipelineRun.objects.get().status == RunStatus.COMPLETED


def test_letters_use_the_templates_of_the_team(team: Team, run_at: Run, box: Any) -> None:
    MessageTemplate.objects.create(team=team, key="hey", name="Hey", subject="Hey {{ word }}", text="It is {{ word }}")
    step = {"type": "send_push", "with": {"template": "hey", "variables": {"word": "time"}, "data": {"link": "/x"}}}
    active(team, [step])
    Contact.objects.create(team=team, first_name="Ann", custom={"device_token": "tok1"})
    run_at(NOON)
    assert box() == [("push", "tok1", "Hey time", "It is time")]


@pytest.mark.parametrize(
    ("address", "topic", "sent"),
    [("+49151123456", "", 0), ("+49151123456", "sms", 1), ("+49151123456", "whatsapp", 1), ("+490000000", "", 2)],
    ids=["everything", "sms only", "whatsapp only", "somebody else"],
)
def test_who_does_not_want_a_channel_gets_nothing_over_it(
    team: Team, run_at: Run, box: Any, address: str, topic: str, sent: int
) -> None:
    Suppression.objects.create(team=team, address=address, topic=topic)
    active(team, [{"type": "send_sms", "message": "a"}, {"type": "send_whatsapp", "message": "b"}])
    Contact.objects.create(team=team, first_name="Ann", phone="+49151123456")
    run_at(NOON)
    assert len(box()) == sent and PipelineRun.objects.get().status == RunStatus.COMPLETED
    assert StepExecution.objects.filter(outcome="skipped").count() == 2 - sent


def test_without_a_channel_the_step_fails_with_a_clear_sentence(team: Team, run_at: Run, settings: Settings) -> None:
    settings.MESSAGE_CHANNELS = {}
    active(team, [{"type": "send_sms", "message": "Hi"}])
    Contact.objects.create(team=team, first_name="Ann", phone="+49151123456")
    run_at(NOON)
    assert PipelineRun.objects.get().status == RunStatus.FAILED
    assert StepExecution.objects.get().error == "This installation cannot send SMS: set SMS_CHANNEL."


def test_without_a_number_or_a_device_the_message_is_skipped_and_the_run_goes_on(
    team: Team, run_at: Run, box: Any
) -> None:
    push = {"type": "send_push", "with": {"to": ["{{ contact.device_token }}"], "body": "Hi"}}
    active(team, [{"type": "send_sms", "message": "Hi"}, push, {"type": "send_push", "message": "Hi"}])
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    assert PipelineRun.objects.get().status == RunStatus.COMPLETED and box() == []
    assert list(StepExecution.objects.order_by("id").values_list("outcome", "error")) == [
        ("skipped", "Not sent: there is no phone number."),
        ("skipped", "Not sent: there is no device."),
        ("skipped", "Not sent: there is no device."),
    ]


def test_a_number_or_a_device_that_is_none_fails_the_step(team: Team, run_at: Run, box: Any) -> None:
    active(team, [{"type": "send_sms", "message": "Hi"}])
    active(team, [{"type": "send_push", "message": "Hi"}], key="second")
    Contact.objects.create(team=team, first_name="Ann", phone="nowhere", custom={"device_token": "not one"})
    run_at(NOON)
    errors = sorted(error for error in StepExecution.objects.values_list("error", flat=True) if error)
    assert [error.partition(" that")[0] for error in errors] == [
        "This contact has no device", "This contact has no phone number",
    ]  # fmt: skip


def test_an_empty_letter_is_refused_before_it_is_published(team: Team) -> None:
    with pytest.raises(InvalidDocument) as refused:
        active(team, [{"type": "send_sms"}])
    assert [problem.path for problem in refused.value.problems] == ["steps[0].message"]


class Moody:
    """A channel that says no, breaks, and then accepts."""

    answers: list[DeliveryResult | Exception] = []
    letters: list[Letter] = []

    def deliver(self, letter: Letter) -> DeliveryResult:
        self.letters.append(letter)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_refused_letter_is_tried_again_with_the_same_key_and_a_lost_one_is_not(
    team: Team, run_at: Run, settings: Settings
) -> None:
    settings.MESSAGE_CHANNELS = {"sms": f"{__name__}.Moody"}
    busy = Refused(code="http_5xx", detail="Busy.", permanent=False)
    Moody.letters = []
    Moody.answers = [busy, Delivered(reference="1"), RuntimeError("broken")]
    active(team, [{"type": "send_sms", "message": "Hi"}, {"type": "send_sms", "message": "Again"}])
    Contact.objects.create(team=team, first_name="Ann", phone="+49151123456")
    run_at(NOON)
    run_at(later(minutes=5))
    assert [letter.text for letter in Moody.letters] == ["Hi", "Hi", "Again"]
    assert Moody.letters[0].key == Moody.letters[1].key != Moody.letters[2].key
    assert Effect.objects.get(seq=2).status == Effect.Status.UNCERTAIN
    assert list(Message.objects.order_by("pk").values_list("state", flat=True)) == ["sent", "uncertain"]


@pytest.mark.parametrize(
    ("text", "number"),
    [("+49 151 123456", "+49151123456"), ("0151/123456", "0151123456"), ("12", ""), ("call me", ""), ("", "")],
)
def test_numbers_lose_their_spacing_and_what_is_none_is_refused(text: str, number: str) -> None:
    assert phone_number(text) == number


def test_tokens_that_cannot_be_one_are_refused() -> None:
    assert device_token(" abc ") == "abc"
    assert not device_token("a b") and not device_token("x" * 300) and not device_token("a\nb")


@pytest.mark.parametrize("more", [{}, {"delivery": "at_least_once"}], ids=["at most once", "at least once"])
def test_a_retry_that_may_reach_people_twice_is_warned_of(team: Team, more: dict[str, Any]) -> None:
    step = {"type": "send_sms", "message": "Hi", "retry": {"max": 2}, **more}
    told = [(each.path, each.severity) for each in validate_document(document([step]), team)]
    assert told == ([("steps[0].delivery", "warning")] if more else [])
