"""Push messages: encrypted for each browser, to every device of a contact, and never again to one that is gone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from contacts.models import Contact
from crm.channels.tokens import packed, unpacked
from crm.channels.web_push import encrypt, private_key
from crm.models import Device, Integration, Message
from pipelines.models import PipelineRun
from tests.pipelines.engine.building import NOON, active
from tests.pipelines.engine.conftest import Run
from tests.pipelines.letters.conftest import Desk
from tests.sinks.http import HttpSink
from tests.sinks.providers import Browser, PushService, said, vapid_holds

PUSH = {"type": "send_push", "with": {"title": "Come back", "body": "Hi {{ contact.first_name }}", "data": {"u": "/x"}}}
SHOWN = {"title": "Come back", "body": "Hi Ann", "data": {"u": "/x"}}


def test_the_example_of_the_standard_comes_out_byte_for_byte() -> None:
    """RFC 8291, section 5."""
    receiver = {
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    }
    body = encrypt(
        b"When I grow up, I want to be a watermelon", receiver, salt=unpacked("DGv6ra1nlYgDCS1FRnbzlw"),
        own=private_key("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"),
    )  # fmt: skip
    assert packed(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru"
        "3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


def test_every_browser_of_a_contact_shows_the_message(desk: Desk, pushes: PushService, run_at: Run) -> None:
    active(desk.team, [PUSH])
    ann = desk.contact()
    phone, laptop = Browser(pushes, "phone"), Browser(pushes, "laptop")
    for browser in (phone, laptop, phone):
        desk.registers(ann, browser)
    assert Device.objects.count() == 2
    run_at(NOON)
    assert phone.shown() == laptop.shown() == [SHOWN]
    assert vapid_holds(pushes.requests()[0]["headers"]["authorization"], audience=pushes.url)
    assert Message.objects.get().state == "sent"


def test_a_browser_that_is_gone_is_forgotten_and_the_others_go_on(desk: Desk, pushes: PushService, run_at: Run) -> None:
    active(desk.team, [PUSH, {**PUSH, "delay": "1h"}])
    ann = desk.contact()
    phone, laptop = Browser(pushes, "phone"), Browser(pushes, "laptop")
    kept, lost = desk.registers(ann, laptop), desk.registers(ann, phone)
    Contact.objects.update(custom={"device_token": lost["token"]})
    pushes.gone.add(phone.path)
    run_at(NOON)
    assert laptop.shown() == [SHOWN] and Device.objects.get().token == kept["token"]
    ann.refresh_from_db()
    assert ann.custom == {"device_token": kept["token"]}
    pushes.gone.add(laptop.path)
    run_at(NOON.replace(hour=13))
    ann.refresh_from_db()
    assert not Device.objects.exists() and ann.custom == {}
    assert PipelineRun.objects.get().get_status_display() == "failed"
    assert Message.objects.latest("pk").error == "No device of this contact takes push messages any more."


def test_what_is_no_subscription_is_refused_with_a_sentence(desk: Desk) -> None:
    about = {"type": "contacts.contact", "id": desk.contact().pk}
    for given in ({"endpoint": "https://x.example/1", "keys": {"p256dh": "AAAA", "auth": "AA"}}, {}, "x"):
        answer = desk.api.post("devices/", {"about": about, "subscription": given})
        assert answer.status_code == 400 and "subscription" in answer.content.decode()


@pytest.fixture
def firebase(tmp_path: Path, desk: Desk) -> Iterator[HttpSink]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with HttpSink(tmp_path / "fcm.jsonl") as sink:
        desk.reach(sink)
        account = {
            "project_id": "acme-app", "client_email": f"push@{sink.port}.example", "private_key": pem.decode(),
            "token_uri": f"{sink.url}/token",
        }  # fmt: skip
        desk.add("fcm", options={"base_url": sink.url}, secrets={"service_account": json.dumps(account)})
        yield sink


def test_an_app_gets_its_message_by_firebase_and_one_login_serves_many(
    desk: Desk, firebase: HttpSink, run_at: Run
) -> None:
    firebase.script(
        said(200, {"access_token": "ya29", "expires_in": 3600}), said(200, {"name": "projects/acme-app/messages/1"}),
        said(404, {"error": {"message": "Requested entity was not found."}}),
    )  # fmt: skip
    Integration.objects.update(asks_consent=False)
    active(desk.team, [PUSH, PUSH])
    ann = desk.contact(custom={"device_token": "app-token"})
    run_at(NOON)
    login, sent, again = firebase.requests()
    assert login["path"] == "/token" and "jwt-bearer" in login["body"]
    assert sent["path"] == "/v1/projects/acme-app/messages:send" and sent["headers"]["authorization"] == "Bearer ya29"
    told = {"token": "app-token", "notification": {"title": "Come back", "body": "Hi Ann"}, "data": {"u": "/x"}}
    assert json.loads(sent["body"]) == {"message": told} and again["path"] == sent["path"]
    ann.refresh_from_db()
    assert ann.custom == {} and Message.objects.get(state="sent").message_id == "projects/acme-app/messages/1"
