"""Opens and clicks of mail: links that lead where the message says and nowhere else, and who is taken for a person."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from contacts.models import Contact
from crm.models import Message, MessageEvent, Team
from crm.tracking.links import links_of
from pipelines.engine.post import content_of
from pipelines.engine.tick import process_due_runs
from pipelines.models import Event, PipelineRun
from tests.pipelines.engine.building import active

pytestmark = pytest.mark.django_db
PERSON = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HTML = (
    "<html><body><p><a class=x href='https://shop.example/a?b=1&amp;c=2'>One</a> <a href=\"https://shop.example/two\">"
    'Two</a> <a href="https://shop.example/three">Three</a> <a href="mailto:a@b.example">Mail</a></p></body></html>'
)
STEPS: list[dict[str, Any]] = [
    {"type": "send_email", "with": {"subject": "Hi", "html": HTML}},
    {
        "type": "wait_for",
        "timeout": "2d",
        "on": {"timeout": "end"},
        "with": {"events": [{"name": "clicked", "event": "email_clicked"}]},
    },
]


@pytest.fixture
def team() -> Team:
    return Team.objects.create(name="Acme", slug="acme", track_opens=True, track_clicks=True)


@pytest.fixture
def message(team: Team) -> Message:
    """Sent an hour ago, while its run waits for a click."""
    active(team, STEPS)
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    process_due_runs()
    Message.objects.update(sent_at=timezone.now() - timedelta(hours=1), state="sent")
    # That it was sent is an event, too, and no test here is about it.
    Event.objects.all().delete()
    return Message.objects.select_related("team").get()


@pytest.fixture
def reader() -> Client:
    return Client(headers={"User-Agent": PERSON})


def _paths(message: Message, kind: str) -> list[str]:
    found = re.findall(rf'"[^"]*(/{kind}/[^"]+)"', content_of(message).html)
    return list(dict.fromkeys(found))


def _clicks(message: Message) -> Iterator[str]:
    """The links a person sees; the hidden one stands before them."""
    return iter(_paths(message, "c")[1:])


def test_a_link_leads_through_the_crm_to_where_the_message_says(message: Message, reader: Client) -> None:
    path = next(_clicks(message))
    assert "shop.example" not in path and "ann" not in path
    answer = reader.get(path)
    assert (answer.status_code, answer["Location"]) == (302, "https://shop.example/a?b=1&c=2")
    assert answer["Referrer-Policy"] == "no-referrer" and "no-store" in answer["Cache-Control"]
    assert not answer.cookies
    html = content_of(message).html
    assert 'href="mailto:a@b.example"' in html and re.search(r'href="[^"]+/u/[^"]+">Unsubscribe', html)
    event = MessageEvent.objects.get()
    assert (event.kind, event.likely_human, event.url) == ("clicked", True, "https://shop.example/a?b=1&c=2")
    reader.get(path)
    assert MessageEvent.objects.get().count == 2


def test_no_parameter_and_no_changed_token_leads_anywhere_else(message: Message, reader: Client) -> None:
    path = next(_clicks(message))
    assert reader.get(path, {"url": "https://evil.example", "next": "//evil.example"})["Location"].startswith(
        "https://shop.example/"
    )
    for bad in (path[:-9] + "AAAAAAA/", "/c/x/", "/c/" + "A" * 140 + "/"):
        answer = reader.get(bad)
        assert answer.status_code == 404 and "Location" not in answer and b"leads nowhere" in answer.content
    assert reader.get(_paths(message, "o")[0].replace("/o/", "/c/").replace(".gif", "/")).status_code == 404
    pictures = [reader.get(address) for address in (_paths(message, "o")[0], "/o/nothing.gif")]
    assert pictures[0].content == pictures[1].content and pictures[0]["Content-Type"] == "image/gif"
    assert links_of('<a href="javascript:alert(1)">x</a><a href="data:text/html,x">y</a><a href="//evil">z</a>') == []


def test_a_click_moves_the_run_that_waits_for_it_once(message: Message, reader: Client) -> None:
    for _ in range(2):
        reader.get(next(_clicks(message)))
    process_due_runs()
    assert PipelineRun.objects.get().get_status_display().lower() == "completed"
    event = Event.objects.get(type="email_clicked")
    assert event.subject_id == message.about_id and event.payload["likely_human"] is True
    assert event.payload["url"] == "https://shop.example/a?b=1&c=2"


@pytest.mark.parametrize(
    ("method", "headers", "reason"),
    [
        ("HEAD", {"User-Agent": PERSON}, "a HEAD request"),
        ("GET", {"User-Agent": "Barracuda Sentinel"}, "a known scanner"),
        ("GET", {"User-Agent": PERSON, "Sec-Purpose": "prefetch;prerender"}, "loaded ahead by a browser"),
        ("GET", {"User-Agent": PERSON, "X-Purpose": "preview"}, "loaded ahead by a browser"),
        ("GET", {}, "names no program"),
    ],
)
def test_what_programs_follow_moves_no_run(message: Message, method: str, headers: dict[str, str], reason: str) -> None:
    Client().generic(method, next(_clicks(message)), headers=headers)
    assert (MessageEvent.objects.get().reason, MessageEvent.objects.get().likely_human) == (reason, False)
    process_due_runs()
    assert not Event.objects.exists() and PipelineRun.objects.get().get_status_display().lower() == "waiting"


def test_whoever_follows_the_hidden_link_or_everything_at_once_is_a_program(message: Message, reader: Client) -> None:
    links = list(_clicks(message))
    for path in links:
        reader.get(path)
    assert [each.reason for each in MessageEvent.objects.order_by("place")] == ["", "", "many links at once"]
    MessageEvent.objects.all().delete()
    assert reader.get(_paths(message, "c")[0]).status_code == 404
    reader.get(links[0])
    assert MessageEvent.objects.get(place=0).reason == "followed a link nobody sees"
    MessageEvent.objects.all().delete()
    Message.objects.update(sent_at=timezone.now())
    reader.get(links[0])
    assert MessageEvent.objects.get(place=0).reason == "at once after sending"
    # A test has moved the clock of the engine, and readers live by their own.
    Message.objects.update(sent_at=timezone.now() + timedelta(days=30))
    reader.get(links[0])
    assert MessageEvent.objects.filter(place=0, likely_human=True).count() == 1


def test_an_open_is_told_but_never_counts_as_a_person(message: Message, reader: Client) -> None:
    path = _paths(message, "o")[0]
    Client(headers={"User-Agent": "Mozilla/5.0"}).get(path)
    assert MessageEvent.objects.get().reason == "loaded ahead by Apple Mail" and not Event.objects.exists()
    MessageEvent.objects.all().delete()
    reader.get(path)
    assert MessageEvent.objects.get().likely_human is False
    assert Event.objects.get(type="email_opened").payload["likely_human"] is False


@pytest.mark.parametrize(("by_team", "by_step", "tracked"), [(True, "off", False), (False, "on", True)])
def test_a_step_decides_against_its_team(message: Message, by_team: bool, by_step: str, tracked: bool) -> None:
    message.team.track_opens = message.team.track_clicks = by_team
    message.tracking = by_step
    assert bool(_paths(message, "c")) is tracked and bool(_paths(message, "o")) is tracked


def test_without_tracking_mail_is_left_as_it_is(team: Team) -> None:
    Team.objects.update(track_opens=False, track_clicks=False)
    active(team, STEPS)
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    process_due_runs()
    message = Message.objects.select_related("team").get()
    assert not _paths(message, "c") and "https://shop.example/two" in content_of(message).html
