"""WhatsApp by Meta's Cloud API, and the chat of the team's own people."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from crm.models import Message, MessageEvent, OptIn
from pipelines.models import Event
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.letters.conftest import NUMBER, Desk
from tests.sinks.http import Answer, HttpSink
from tests.sinks.providers import post_from_meta, said

SECRETS = {"access_token": "EAAG-a-long-token", "app_secret": "app-secret", "verify_token": "our-word"}
ACCEPTED = said(200, {"messaging_product": "whatsapp", "messages": [{"id": "wamid.1"}]})


class Meta:
    """The API on loopback, and the address that it reports to."""

    def __init__(self, sink: HttpSink, row: dict[str, Any]) -> None:
        self.sink, self.url = sink, row["reports_url"]

    def sent(self) -> list[Any]:
        return [json.loads(each["body"]) for each in self.sink.requests()]


@pytest.fixture
def meta(tmp_path: Path, desk: Desk) -> Iterator[Meta]:
    with HttpSink(tmp_path / "meta.jsonl") as sink:
        desk.reach(sink)
        yield Meta(sink, desk.add("whatsapp_cloud", options={"number_id": "77", "base_url": sink.url}, secrets=SECRETS))


def test_texts_and_approved_templates_leave_and_their_fate_comes_back(
    desk: Desk, meta: Meta, run_at: Run, client: Client
) -> None:
    desk.agrees("whatsapp")
    approved = {"name": "order_update", "language": "de", "parameters": ["{{ contact.first_name }}"]}
    meta.sink.script(ACCEPTED, ACCEPTED)
    active(
        desk.team,
        [{"type": "send_whatsapp", "with": {"approved": approved}}, {"type": "send_whatsapp", "message": "Hi"}],
    )
    desk.contact()
    run_at(NOON)
    first, second = meta.sent()
    assert meta.sink.requests()[0]["headers"]["authorization"] == "Bearer EAAG-a-long-token"
    assert first["to"] == NUMBER[1:] and first["template"] == {
        "name": "order_update", "language": {"code": "de"},
        "components": [{"type": "body", "parameters": [{"type": "text", "text": "Ann"}]}],
    }  # fmt: skip
    assert second["text"]["body"] == "Hi" and Message.objects.earliest("pk").text == "Template order_update: Ann"
    message = Message.objects.get(pk=int(first["biz_opaque_callback_data"]))
    read = {"id": "wamid.1", "status": "read", "biz_opaque_callback_data": str(message.pk)}
    for _ in range(2):
        assert post_from_meta(client, meta.url, {"statuses": [read]}, secret="app-secret").status_code == 204
    assert post_from_meta(client, meta.url, {"statuses": [read]}, secret="no").status_code == 401
    assert MessageEvent.objects.get().kind == "read" and Event.objects.filter(type="whatsapp_read").count() == 1
    stop = {"messages": [{"from": NUMBER[1:], "id": "wamid.9", "text": {"body": "STOP"}}]}
    post_from_meta(client, meta.url, stop, secret="app-secret")
    assert not OptIn.objects.latest("pk").granted


def test_meta_is_told_that_the_address_is_ours(meta: Meta, client: Client) -> None:
    path = meta.url.removeprefix("http://testserver")
    asked = {"hub.mode": "subscribe", "hub.challenge": "1158", "hub.verify_token": "our-word"}
    assert client.get(path, asked).content == b"1158"
    assert client.get(path, {**asked, "hub.verify_token": "guess"}).status_code == 403


@pytest.mark.parametrize(
    ("code", "state"), [(131047, "failed"), (130429, "sent")], ids=["no open conversation", "too many at once"]
)
def test_refusals_of_meta_are_told_apart_by_their_codes(
    desk: Desk, meta: Meta, run_at: Run, code: int, state: str
) -> None:
    desk.agrees("whatsapp")
    meta.sink.script(said(400, {"error": {"code": code, "message": "No."}}), ACCEPTED)
    active(desk.team, [{"type": "send_whatsapp", "message": "Hi"}])
    desk.contact()
    run_at(NOON)
    run_at(later(hours=1))
    assert Message.objects.get().state == state


@pytest.mark.parametrize("provider", ["slack", "teams"])
def test_the_team_reads_it_in_its_chat(desk: Desk, run_at: Run, tmp_path: Path, provider: str) -> None:
    with HttpSink(tmp_path / "chat.jsonl") as sink:
        desk.reach(sink)
        desk.add(provider, options={}, secrets={"address": f"{sink.url}/services/T0/B0/secret"})
        sink.script(Answer(200, body=b"ok"))
        active(desk.team, [{"type": "send_chat", "with": {"title": "New lead", "text": "{{ contact.first_name }}"}}])
        desk.contact(last_name="<!channel>")
        run_at(NOON)
        (sent,) = sink.requests()
    body = json.loads(sent["body"])
    if provider == "slack":
        assert body == {"text": "*New lead*\nAnn"}
    else:
        card = body["attachments"][0]["content"]
        assert [block["text"] for block in card["body"]] == ["New lead", "Ann"]
    assert Message.objects.get().state == "sent"
