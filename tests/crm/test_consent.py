"""Topics people choose: a page without an account, confirmation by a button, and a history of every choice."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from contacts.models import Contact
from crm.confirming import give_up_lost
from crm.consent import Act, subscribe, unsubscribe
from crm.models import ConsentEntry, Message, MessageTemplate, Subscription, Suppression, Team, Topic
from crm.preferences import preferences_url
from crm.unsubscribe import unsubscribe_url
from pipelines.engine.enroll import enroll
from pipelines.engine.post import content_of
from pipelines.engine.tick import process_due_runs
from pipelines.models import Event, StepExecution
from pipelines.operations.checking import validate_document
from tests.api import Api
from tests.contacts.conftest import SignIn
from tests.contacts.conftest import sign_in as sign_in
from tests.pipelines.engine.building import active, document

pytestmark = pytest.mark.django_db
ANN = "ann@example.org"


@pytest.fixture
def team() -> Team:
    team = Team.objects.create(name="Acme", slug="acme")
    Topic.objects.create(team=team, key="news", name="News", description="Once a month.")
    Topic.objects.create(team=team, key="offers", name="Offers", default_on=False)
    Topic.objects.create(team=team, key="tips", name="Tips", confirm=True)
    Topic.objects.create(team=team, key="secret", name="Inner circle", shown=False)
    return team


@pytest.fixture
def page(team: Team) -> str:
    return preferences_url(team_id=team.pk, address="Ann@example.org").removeprefix("http://testserver")


@pytest.fixture
def reader() -> Client:
    return Client(enforce_csrf_checks=True)


def sends(team: Team, topic: str) -> str:
    """The state of a message of this topic to Ann, or what her run says instead of one."""
    text = "Hi {{ contact.first_name }}, choose: {{ preferences_url }} or go: {{ unsubscribe_url }}"
    step = {"type": "send_email", "with": {"subject": "Hi", "text": text, "topic": topic}}
    pipeline = active(team, [step], key=f"p{topic}", triggers=[{"type": "manual", "reentry": "always"}])
    contact, _ = Contact.objects.get_or_create(team=team, first_name="Ann", email=ANN)
    (run,) = enroll(pipeline=pipeline, subject_ids=[contact.pk]).enrolled
    process_due_runs()
    message = Message.objects.filter(run_id=run).first()
    visit = StepExecution.objects.filter(run_id=run, event=StepExecution.Event.SKIPPED).first()
    return message.state if message is not None else str(visit and visit.error)


def kinds() -> list[tuple[str, str]]:
    return list(ConsentEntry.objects.order_by("pk").values_list("topic", "kind"))


def test_a_reader_chooses_topics_without_an_account(team: Team, page: str, reader: Client) -> None:
    answer = reader.get(page)
    told = answer.content.decode()
    assert answer["X-Robots-Tag"] == "noindex" and "no-store" in answer["Cache-Control"] and not answer.cookies
    assert "a•••@e•••.org" in told and ANN not in told.lower() and "Inner circle" not in told
    assert re.findall(r'value="(\w+)" checked', told) == ["news"]
    answer = reader.post(page, {"topic": ["offers"]})
    assert answer.status_code == 200 and re.findall(r'value="(\w+)" checked', answer.content.decode()) == ["offers"]
    assert kinds() == [("news", "unsubscribed"), ("offers", "subscribed")]
    news = ConsentEntry.objects.get(topic="news")
    assert (news.address, news.how, news.wording) == (ANN, "preferences page", "News: Once a month.")
    reader.post(page, {"topic": ["offers"]})
    assert len(kinds()) == 2
    assert sends(team, "news").endswith("is on the suppression list (unsubscribed).")
    assert sends(team, "offers") == "sent"
    assert not Event.objects.exclude(type="email_sent").exists()
    reader.post(page, {})
    assert Event.objects.exclude(type="email_sent").get().type == "unsubscribed"


def test_one_topic_again_after_everything_leaves_all_others_off(team: Team, page: str, reader: Client) -> None:
    reader.post(page, {"nothing": "1"})
    assert Suppression.objects.get().topic == "" and kinds() == [("", "unsubscribed")]
    assert "checked" not in reader.get(page).content.decode()
    reader.post(page, {"topic": ["news"]})
    off = set(Suppression.objects.values_list("topic", flat=True))
    assert "news" not in off and "" not in off and {"secret", "marketing"} <= off
    assert sends(team, "news") == "sent" and "unsubscribed" in sends(team, "marketing")


def test_what_a_test_run_wrote_makes_no_topic_known(team: Team, page: str, reader: Client) -> None:
    for state, topic in (("captured", "tried"), ("sent", "got")):
        Message.objects.create(team=team, recipient=ANN, topic=topic, state=state, created_at=timezone.now())
    reader.post(page, {"nothing": "1"})
    reader.post(page, {"topic": ["news"]})
    off = set(Suppression.objects.values_list("topic", flat=True))
    assert "got" in off and "tried" not in off


def test_who_bounced_or_complained_cannot_be_switched_on_by_the_page(team: Team, page: str, reader: Client) -> None:
    Suppression.objects.create(team=team, address=ANN, reason="complained")
    assert "reported as unwanted" in reader.get(page).content.decode()
    reader.post(page, {"topic": ["news", "offers"]})
    assert Suppression.objects.get().reason == "complained"
    assert "complained" in sends(team, "offers")


def test_mail_leads_to_the_page_and_one_click_ends_its_topic_only(team: Team, reader: Client) -> None:
    assert sends(team, "news") == "sent"
    sent = mail.outbox[-1]
    assert "⟦" not in sent.body and "⟦preferences⟧" in Message.objects.get().text
    (path,) = set(re.findall(r"http://testserver(/p/\S+)", str(sent.body)))
    assert reader.get(path).status_code == 200
    link = sent.extra_headers["List-Unsubscribe"].strip("<>").removeprefix("http://testserver")
    assert link in sent.body and "Unsubscribe:" not in sent.body
    assert reader.post(link, {"List-Unsubscribe": "One-Click"}).status_code == 200
    assert list(Suppression.objects.values_list("topic", flat=True)) == ["news"]
    assert (kinds(), ConsentEntry.objects.get().how) == ([("news", "unsubscribed")], "one-click")
    assert "/p/" in reader.get(f"{link}choose/")["Location"]
    reader.post(link, {"everything": "1"})
    assert Suppression.objects.filter(topic="").exists()
    assert [reader.get(bad).status_code for bad in ("/p/nothing/", "/u/nothing/choose/", "/y/nothing/")] == [404] * 3


def test_a_topic_that_is_off_by_default_is_for_subscribers_alone(team: Team) -> None:
    assert sends(team, "offers") == "Not sent: the recipient has not subscribed to this topic."
    unknown = Api(team, role="member").post("subscriptions/", {"address": ANN, "topic": "offerz"})
    assert unknown.status_code == 400 and "offerz" in unknown.json()["errors"][0]["message"]
    said = {"address": ANN, "topic": "offers", "how": "signup form", "wording": "Send me offers."}
    api = Api(team)
    assert api.post("subscriptions/", said).json()["state"] == "on"
    assert sends(team, "offers") == "sent"
    entry = api.get("consents/", address=ANN).json()["results"][0]
    assert (entry["how"], entry["who"], entry["wording"]) == ("signup form", "key test", "Send me offers.")
    api.delete(f"subscriptions/{Subscription.objects.get().pk}/")
    assert "unsubscribed" in sends(team, "offers")


def test_who_unsubscribed_comes_back_by_their_own_hand_alone(team: Team, reader: Client) -> None:
    unsubscribe(team_id=team.pk, address=ANN, topic="news", act=Act(timezone.now(), "one-click"))
    assert Api(team).post("subscriptions/", {"address": ANN, "topic": "news"}).json()["state"] == "pending"
    process_due_runs()
    link = confirmation()
    assert "unsubscribed" in sends(team, "news")
    reader.post(link)
    assert sends(team, "news") == "sent"


def asked(team: Team, *, at: Any = None) -> None:
    subscribe(team_id=team.pk, address=ANN, topic="tips", act=Act(at or timezone.now(), "form", wording="Tips, please"))
    process_due_runs()


def confirmation() -> str:
    (found,) = re.findall(r"http://testserver(/y/\S+)", str(mail.outbox[-1].body))
    return str(found)


def test_nothing_is_sent_before_the_link_was_opened_and_confirmed(team: Team, reader: Client) -> None:
    asked(team)
    assert mail.outbox[-1].to == [ANN] and mail.outbox[-1].subject == "Please confirm: Tips"
    assert "/y/" not in Message.objects.get().text and Message.objects.get().state == "sent"
    assert sends(team, "tips") == "Not sent: the recipient has not confirmed the subscription to this topic yet."
    link = confirmation()
    for look in (reader.get, reader.head):
        assert look(link).status_code == 200
    assert Subscription.objects.get().state == "pending"
    told = reader.post(link).content.decode()
    assert "Thank you" in told and ANN not in told
    assert kinds() == [("tips", "asked"), ("tips", "confirmed")]
    assert ConsentEntry.objects.last().wording == "Tips, please"  # type: ignore[union-attr]
    assert sends(team, "tips") == "sent" and Event.objects.filter(type="subscribed").exists()
    reader.post(link)
    assert len(kinds()) == 2


def test_confirmation_mail_is_bounded_and_old_links_are_dead(team: Team, reader: Client) -> None:
    now = timezone.now()
    for minutes in (0, 1, 20, 40, 60, 80):
        asked(team, at=now - timedelta(minutes=100 - minutes))
    assert len(mail.outbox) == 3 and Subscription.objects.get().asks == 3
    link = confirmation()
    unsubscribe(team_id=team.pk, address=ANN, topic="tips", act=Act(now, "one-click"))
    assert reader.post(link).status_code == 404 and not Subscription.objects.exists()
    asked(team, at=now - timedelta(days=8))
    assert reader.post(confirmation()).status_code == 410 and Subscription.objects.get().state == "pending"
    asked(team)
    assert len(mail.outbox) == 5


def test_who_gets_nothing_at_all_gets_no_question_and_mail_is_put_off_in_an_outage(team: Team, settings: Any) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = "crm.channels.smtp.EmailBackend", "127.0.0.1", 1
    asked(team)
    row = Subscription.objects.get()
    assert row.mail_at is not None and row.mail_at > timezone.now() and not Message.objects.exists()
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    long_ago = timezone.now() - timedelta(hours=1)
    Message.objects.create(team=team, recipient=ANN, state="sending", created_at=long_ago)
    assert give_up_lost(now=timezone.now()) == 1 and Message.objects.get().reason == "interrupted"
    Message.objects.all().delete()
    Suppression.objects.create(team=team, address=ANN, reason="bounced")
    Subscription.objects.update(mail_at=timezone.now())
    process_due_runs()
    assert (Message.objects.get().state, Message.objects.get().reason) == ("skipped", "bounced") and not mail.outbox


def test_the_page_of_a_contact_shows_what_it_chose_and_exports_it(team: Team, sign_in: SignIn, page: str) -> None:
    Client().post(page, {"topic": ["offers"]})
    contact = Contact.objects.create(team=team, first_name="Ann", email="Ann@example.org")
    owner = sign_in()
    told = owner.get(f"/admin/contacts/contact/{contact.pk}/change/").content.decode()
    assert "Unsubscribed: News" in told and "“News: Once a month.”" in told and "preferences page" in told
    member = sign_in("member")
    told_less = member.get(f"/admin/contacts/contact/{contact.pk}/change/").content.decode()
    assert "Unsubscribed: News" not in told_less
    (path,) = re.findall(r'href="([^"]+export/[^"]*)"', told)
    lines = owner.get(path).getvalue().decode().splitlines()
    assert len(lines) == 3 and '"ann@example.org","news","unsubscribed"' in lines[1]
    assert member.get(path).status_code in (302, 403)


def test_old_links_of_mail_still_end_mail(team: Team, reader: Client) -> None:
    link = unsubscribe_url(team_id=team.pk, address=ANN, topic="marketing").removeprefix("http://testserver")
    assert reader.post(link).status_code == 200 and "unsubscribed" in sends(team, "marketing")
    assert content_of(Message(team=team, recipient=ANN, topic="news", text="Hi")).text.count("/p/") == 1


@pytest.mark.parametrize("page", ["messagetemplate", "suppression"])
def test_the_topic_of_templates_and_suppressions_is_one_of_the_teams(sign_in: SignIn, team: Team, page: str) -> None:
    other = Team.objects.create(name="Globex", slug="globex")
    Topic.objects.create(team=other, key="theirs", name="Theirs")
    client = sign_in("admin")
    address = f"/admin/crm/{page}/add/"
    form = client.get(address).content.decode()
    assert '<option value="tips"' in form and "Inner circle" in form and "theirs" not in form
    values = {"key": "hi", "name": "Hi", "subject": "Hi", "text": "Hi", "address": ANN, "reason": "manual"}
    refused = client.post(address, {**values, "topic": "theirs"})
    assert refused.status_code == 200 and "theirs is not one of the available choices" in refused.content.decode()
    assert client.post(address, {**values, "topic": "tips"}).status_code == 302


def test_a_template_keeps_the_topic_it_has_although_the_team_has_none_of_that_name(sign_in: SignIn, team: Team) -> None:
    row = MessageTemplate.objects.create(team=team, key="hi", name="Hi", subject="Hi", text="Hi", topic="old")
    address = f"/admin/crm/messagetemplate/{row.pk}/change/"
    client = sign_in("admin")
    assert "old (no topic of this team)" in client.get(address).content.decode()
    values = {"key": "hi", "name": "New", "subject": "Hi", "text": "Hi", "topic": "old"}
    assert client.post(address, values).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.topic) == ("New", "old")


def test_the_api_refuses_a_template_of_a_topic_that_the_team_has_not(team: Team) -> None:
    template = {"key": "hi", "name": "Hi", "subject": "Hi", "text": "Hi"}
    refused = Api(team, role="admin").post("templates/", {**template, "topic": "tipps"})
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (400, "topic")
    for number, topic in enumerate(("tips", "marketing", "")):
        made = Api(team, role="admin").post("templates/", {**template, "key": f"hi{number}", "topic": topic})
        assert made.status_code == 201, made.json()


def test_a_document_that_names_a_topic_the_team_has_not_is_warned_of_with_the_path(team: Team) -> None:
    letter = {"text": "Hi", "topic": "tipps"}
    steps = [
        {"key": "mail", "type": "send_email", "with": {"subject": "Hi", **letter}},
        {"key": "sms", "type": "send_sms", "with": letter},
        {"key": "usual", "type": "send_sms", "with": {"text": "Hi", "topic": "sms"}},
    ]
    told = validate_document(document(steps), team)
    assert [(each.path, each.severity) for each in told if "tipps" in each.message] == [
        ("steps[0].with.topic", "warning"),
        ("steps[1].with.topic", "warning"),
    ]
    assert not [each for each in told if each.path.startswith("steps[2]")]
