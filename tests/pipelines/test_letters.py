"""Message templates: their layout, their styles, the page that shows and tests them, and what they warn of."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from contacts.models import Contact
from crm.models import Member, Message, MessageTemplate, Suppression, Team
from pipelines.engine.clock import pretend
from pipelines.engine.tick import process_due_runs
from pipelines.operations.checking import validate_document
from tests.api import Api
from tests.pipelines.engine.building import NOON, active, document
from tests.sinks.http import Answer, HttpSink
from tests.sinks.smtp import SmtpSink

LAYOUT = (
    "<html><head><style>p{color:#123456}@media(max-width:9px){p{color:red}}</style></head>"
    "<body><h1>{{ team.name }}</h1>{{ content }}</body></html>"
)
STEP = {"type": "send_email", "with": {"template": "hello"}}


@pytest.fixture
def team(db: None) -> Team:
    return Team.objects.create(name="Acme", slug="acme", mail_layout=LAYOUT)


@pytest.fixture
def template(team: Team) -> MessageTemplate:
    return MessageTemplate.objects.create(
        team=team, key="hello", name="Hello", subject="Hi {{ contact.first_name }}",
        html="<p>Dear {{ contact.first_name }} of {{ contact.city }}, <a href='/prices'>prices</a></p>",
    )  # fmt: skip


@pytest.fixture
def maya(client: Client, team: Team) -> Client:
    user = get_user_model().objects.create_user("maya", "maya@acme.example", "pw", is_staff=True)
    Member.objects.create(team=team, user=user, role="manager")
    client.force_login(user)
    return client


@pytest.fixture
def sink(settings: Settings, tmp_path: Path) -> Any:
    settings.EMAIL_BACKEND = "crm.channels.smtp.EmailBackend"
    with SmtpSink(tmp_path / "mail.jsonl") as sink:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", sink.port
        yield sink


def test_a_template_stands_in_the_layout_of_its_team_with_its_styles_inlined(
    team: Team, template: MessageTemplate
) -> None:
    active(team, [STEP])
    with pretend(NOON):
        Contact.objects.create(team=team, first_name="Ann <b>", email="ann@example.org")
        process_due_runs()
    sent = Message.objects.get()
    assert '<h1>Acme</h1><p style="color: #123456;">Dear Ann &lt;b&gt; of' in sent.html
    assert "@media" in sent.html and "Dear Ann <b> of" in sent.text and "color" not in sent.text


def test_a_template_may_stand_outside_the_layout(team: Team, template: MessageTemplate) -> None:
    MessageTemplate.objects.update(use_layout=False)
    active(team, [STEP])
    with pretend(NOON):
        Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
        process_due_runs()
    assert Message.objects.get().html.startswith("<p>Dear Ann")


def test_styles_never_read_files_or_addresses(team: Team, template: MessageTemplate) -> None:
    linked = '<link rel="stylesheet" href="http://127.0.0.1:9/x.css">'
    html = linked + '<style>@import "file:///etc/passwd"; p{top:1px}</style><p>x'
    MessageTemplate.objects.update(html=html)
    active(team, [STEP])
    with pretend(NOON):
        Contact.objects.create(team=team, email="ann@example.org")
        process_due_runs()
    assert 'top: 1px;">x' in Message.objects.get().html and "root:" not in Message.objects.get().html


def test_the_preview_is_that_of_a_real_contact_in_a_frame_where_nothing_runs(
    maya: Client, team: Team, template: MessageTemplate
) -> None:
    MessageTemplate.objects.update(html=template.html + "<script>alert(1)</script>")
    Contact.objects.create(team=team, first_name="Bob", email="bob@example.org")
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    other = Team.objects.create(name="Other", slug="other")
    foreign = Contact.objects.create(team=other, first_name="Zoe", email="zoe@example.org")
    page = maya.get(f"/admin/templates/{template.pk}/preview/", {"q": "bob"}).content.decode()
    assert "Hi Bob" in page and "<script>alert" not in page and "Empty for this contact: contact.city" in page
    assert "“/prices” does not work in mail" in page
    (frame,) = re.findall(r'<iframe sandbox[^>]* src="([^"]+)"', page)
    shown = maya.get(frame)
    assert "Dear Bob" in shown.content.decode() and "alert" not in shown.content.decode()
    assert "sandbox" in shown["Content-Security-Policy"] and "default-src 'none'" in shown["Content-Security-Policy"]
    page = maya.get(f"/admin/templates/{template.pk}/preview/", {"contact": foreign.pk}).content.decode()
    # Not "Zoe" alone, for the signature of an address is made of letters, too.
    assert not any(told in page for told in ("Hi Zoe", "Dear Zoe", "zoe@")) and not Message.objects.exists()


def test_a_test_goes_to_oneself_and_not_to_the_suppressed(
    maya: Client, team: Team, template: MessageTemplate, sink: SmtpSink
) -> None:
    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    path = f"/admin/templates/{template.pk}/preview/?contact={contact.pk}"
    assert "on its way to maya@acme.example" in maya.post(path, follow=True).content.decode()
    (mail,) = sink.messages()
    assert mail["To"] == "maya@acme.example" and mail["Subject"] == "[Test] Hi Ann"
    assert "unsubscribe" in str(mail["List-Unsubscribe-Post"]).lower() and "ann@" not in str(mail)
    Suppression.objects.create(team=team, address="maya@acme.example", reason="complained")
    assert "on the suppression list (complained)" in maya.post(path, follow=True).content.decode()
    assert len(sink.messages()) == 1
    Member.objects.update(role="viewer")
    assert maya.post(path).status_code == 403


def test_links_are_asked_for_whoever_wants_to_know_and_by_a_command(
    maya: Client, team: Team, template: MessageTemplate, tmp_path: Path, settings: Any
) -> None:
    with HttpSink(tmp_path / "web.jsonl") as web:
        settings.OUTBOUND_HTTP_ALLOW = f"127.0.0.0/8:{web.port}"
        MessageTemplate.objects.update(html=f'<a href="{web.url}/a">A</a><a href="{web.url}/b">B</a>')
        web.usual = Answer(404)
        path = f"/admin/templates/{template.pk}/preview/"
        page = maya.post(path, {"links": "ask"}).content.decode()
        assert page.count(">broken<") == 2 and "It does not work (404)." in page and not Message.objects.exists()
        with pytest.raises(CommandError, match="2 of 2 links do not work"):
            call_command("check_links", "--team", "acme", "--template", "hello")
        Member.objects.update(role="viewer")
        assert maya.post(path, {"links": "ask"}).status_code == 403


def test_mail_that_counts_clicks_has_html(team: Team) -> None:
    def told(**given: str) -> list[str]:
        step = {"type": "send_email", "with": {"subject": "Hi", "topic": "news", "tracking": "on", **given}}
        return [each.path for each in validate_document(document([step]), team) if "HTML alone" in each.message]

    assert told(text="Hi") == ["steps[0].with.tracking"]
    assert told(html="<p>Hi</p>") == told(text="Hi", tracking="off") == []


def test_the_api_shows_a_template_and_only_to_its_team(team: Team, template: MessageTemplate) -> None:
    api = Api(team)
    contact = Contact.objects.create(team=api.team, first_name="Ann", email="ann@example.org")
    shown = api.get(f"templates/{template.pk}/preview/", contact=contact.pk).json()
    assert shown["subject"] == "Hi Ann" and "Unsubscribe" in shown["html"] and len(shown["warnings"]) == 2
    other = Team.objects.create(name="Other", slug="other")
    foreign = Contact.objects.create(team=other, email="zoe@example.org")
    assert api.get(f"templates/{template.pk}/preview/", contact=foreign.pk).status_code == 404
    assert api.patch(f"teams/{team.pk}/", {"mail_layout": "<p>no place</p>"}).status_code == 400


def test_publishing_warns_of_names_nobody_brings_and_links_that_do_not_work(
    team: Team, template: MessageTemplate
) -> None:
    MessageTemplate.objects.update(subject="{{ cart.total }} for {{ code }}")
    told = validate_document(document([STEP], variables=[{"name": "code", "type": "string", "default": "x"}]), team)
    words = {each.message for each in told if each.severity == "warning"}
    assert any("reads cart, which this pipeline does not bring" in each for each in words)
    assert any("“/prices” does not work in mail" in each for each in words)
    assert {(each.path, each.severity) for each in told} == {
        ("steps[0].with.template", "warning"), ("steps[0].with.template.hello.subject", "warning"),
    }  # fmt: skip


def test_publishing_warns_of_mail_that_nobody_can_unsubscribe_from_unless_the_step_says_so(
    team: Team, template: MessageTemplate
) -> None:
    def told(**given: str) -> list[str]:
        step = {"type": "send_email", "with": {"template": "hello", **given}}
        return [each.path for each in validate_document(document([step]), team) if "unsubscribe" in each.message]

    assert told() == []
    MessageTemplate.objects.update(topic="")
    assert told() == ["steps[0].with.template"]
    assert told(topic="transactional") == [], "chosen on purpose"
