"""What providers tell by webhooks: who may tell it, what follows, and that told twice it follows once."""

import base64
from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from contacts.models import Contact
from crm import providers
from crm.channels.base import Refused, Unknown
from crm.channels.email import EmailContent, Mailer, build
from crm.models import ConsentEntry, Message, MessageEvent, Suppression, Team
from pipelines.engine.tick import process_due_runs
from pipelines.models import Event
from tests.pipelines.engine.building import active

pytestmark = pytest.mark.django_db
SECRET = "hooks:a-password-of-tests-0123"
HTML = '<p><a href="https://shop.example/a">A</a> <a href="https://shop.example/b">B</a></p>'
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def message(db: None) -> Message:
    team = Team.objects.create(name="Acme", slug="acme")
    active(team, [{"type": "send_email", "with": {"subject": "Hi", "html": HTML}}])
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    process_due_runs()
    Message.objects.update(sent_at=timezone.now() - timedelta(hours=1), state="sent")
    # That it was sent is an event, too, and no test here is about it.
    Event.objects.all().delete()
    return Message.objects.get()


def told(message: Message, kind: str, *, secret: str = SECRET, **more: Any) -> int:
    """Post what Postmark posts, see its documentation of webhooks; the status of the answer."""
    at = timezone.now().isoformat()
    body = {
        "RecordType": kind, "ID": 42, "MessageID": "00000000-0000-0000-0000-000000000000", "Tag": "",
        "Recipient": "Ann@example.org", "Email": "Ann@example.org", "Metadata": {"message": message.message_id},
        "DeliveredAt": at, "BouncedAt": at, "ReceivedAt": at, "Details": "smtp; 550 5.1.1 no such user", **more,
    }  # fmt: skip
    name = base64.b64encode(secret.encode()).decode()
    answer = Client(headers={"Authorization": f"Basic {name}"}).post(
        "/anymail/postmark/tracking/", body, content_type="application/json"
    )
    return answer.status_code


def noted() -> list[tuple[str, bool]]:
    return list(MessageEvent.objects.order_by("pk").values_list("kind", "likely_human"))


def test_nobody_without_the_secret_tells_anything(message: Message) -> None:
    assert told(message, "Bounce", secret="hooks:guessed", Type="HardBounce", TypeCode=1) == 400
    assert Client().post("/anymail/postmark/tracking/", {}, content_type="application/json").status_code == 400
    assert Client().post("/anymail/sendgrid/tracking/", {}, content_type="application/json").status_code == 404
    assert not MessageEvent.objects.exists()


def test_a_delivery_is_told_once_to_whoever_waits_for_it(message: Message) -> None:
    assert [told(message, "Delivery") for _ in range(2)] == [200, 200]
    assert noted() == [("delivered", False)]
    event = Event.objects.get()
    assert (event.type, event.subject_id) == ("email_delivered", message.about_id)


def test_a_soft_bounce_keeps_nothing_and_a_hard_one_everything(message: Message) -> None:
    told(message, "Bounce", Type="Blocked", TypeCode=100006)
    told(message, "Bounce", Type="SoftBounce", TypeCode=4096, Details="smtp; 552 5.2.2 mailbox full")
    assert not Suppression.objects.exists()
    assert Event.objects.get().payload["hard"] is False
    for _ in range(2):
        told(message, "Bounce", Type="HardBounce", TypeCode=1)
    kept = Suppression.objects.get()
    assert (kept.address, kept.reason, kept.topic) == ("ann@example.org", "bounced", "") and "Postmark" in kept.source
    assert [event.payload["hard"] for event in Event.objects.filter(type="email_bounced").order_by("pk")] == [
        False,
        True,
    ]
    assert noted() == [("bounced", False)] * 2


def test_complaints_and_the_button_of_the_provider_end_mail(message: Message) -> None:
    told(message, "SubscriptionChange", SuppressSending=True, SuppressionReason="ManualSuppression", Origin="Recipient",
         ChangedAt=timezone.now().isoformat())  # fmt: skip
    assert Suppression.objects.get().topic == "marketing" and "Postmark" in ConsentEntry.objects.get().how
    told(message, "SpamComplaint", Type="SpamComplaint", TypeCode=512)
    assert Suppression.objects.get(topic="").reason == "complained"
    assert set(Event.objects.values_list("type", flat=True)) == {"unsubscribed", "email_complained"}


def test_clicks_are_judged_and_opens_alone_never_count_as_a_person(message: Message) -> None:
    told(message, "Open", UserAgent=FIREFOX, FirstOpen=True)
    for agent, link in ((FIREFOX, "b"), (FIREFOX, "b"), ("Barracuda Sentinel", "a")):
        told(message, "Click", UserAgent=agent, OriginalLink=f"https://shop.example/{link}")
    assert noted() == [("opened", False), ("clicked", True), ("clicked", False)]
    assert MessageEvent.objects.get(likely_human=True).place == 1
    assert Event.objects.filter(type="email_clicked").count() == 1


def test_what_is_about_somebody_else_or_nothing_of_ours_is_left_alone(message: Message) -> None:
    assert told(message, "Bounce", Type="HardBounce", TypeCode=1, Email="zoe@example.org") == 200
    assert told(message, "Bounce", Type="HardBounce", TypeCode=1, Metadata={"message": "<x@y>"}) == 200
    assert not MessageEvent.objects.exists() and not Suppression.objects.exists()


def test_a_provider_without_a_secret_or_a_name_is_an_error_and_no_door(settings: Settings) -> None:
    settings.MAIL_PROVIDERS, settings.ANYMAIL = ["postmark", "pigeon"], {"WEBHOOK_SECRET": ""}
    assert {found.id for found in run_checks() if found.id in ("crm.E078", "crm.E079")} == {"crm.E078", "crm.E079"}
    assert providers.urls() == []


class _Api:
    """A backend as those of providers: it raises what their API answered."""

    def __init__(self, status: int | None) -> None:
        self.status = status

    def send_messages(self, mails: Any) -> int:
        error: Any = RuntimeError("no")
        if self.status:
            error.status_code = self.status
        raise error


@pytest.mark.parametrize(
    ("status", "code"), [(422, "http_4xx"), (429, "http_429"), (500, "timeout"), (None, "timeout")]
)
def test_an_api_that_says_no_has_not_taken_the_mail(status: int | None, code: str) -> None:
    mail = build(EmailContent(to="a@example.org", subject="Hi", text="Hi", message_id="<a@b>"))
    assert mail.metadata == {"message": "<a@b>"}  # type: ignore[attr-defined]
    mailer = Mailer()
    mailer._connection = _Api(status)
    (result,) = mailer.deliver([mail])
    assert isinstance(result, Unknown if code == "timeout" else Refused) and result.code == code
