"""`doctor --mail` asks a name server for what others ask, and says in words what is missing and what to add."""

import base64
import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django import Settings

from crm.channels import names
from tests.sinks.dns import DnsSink

KEY = base64.b64encode(b"k" * 294).decode()
WELL = {
    ("acme.example", "TXT"): ['"v=spf1 mx " "~all"', '"something else"'],
    ("acme.example", "MX"): ["10 mail.acme.example."],
    ("s1._domainkey.acme.example", "TXT"): [f'"v=DKIM1; k=rsa; p={KEY[:200]}" "{KEY[200:]}"'],
    ("_dmarc.acme.example", "TXT"): ['"v=DMARC1; p=none; rua=mailto:post@acme.example"'],
    ("mail.acme.example", "A"): ["192.0.2.7"],
    ("7.2.0.192.in-addr.arpa", "PTR"): ["mail.acme.example."],
}


@pytest.fixture
def server() -> Iterator[DnsSink]:
    with DnsSink() as server:
        server.records = dict(WELL)
        yield server


def examined(server: DnsSink, *more: str) -> dict[str, dict[str, Any]]:
    """What `doctor --mail --json` finds, by code."""
    out = StringIO()
    given = ("--selector=s1", "--ip=192.0.2.7", f"--resolver={server.address}", *more)
    try:
        call_command("doctor", "--mail", "--json", *given, stdout=out)
    except SystemExit as ended:
        assert ended.code == 1
    answer = json.loads(out.getvalue())
    assert answer["ok"] is (not answer["findings"])
    return {found["code"]: found for found in answer["findings"]}


def test_a_domain_in_good_order_is_left_alone(server: DnsSink) -> None:
    assert examined(server) == {}
    below = examined(server, "--domain=news.acme.example", "--selector=s1")
    assert set(below) == {"mail.spf", "mail.dkim", "mail.mx"}, "a policy above it counts"


@pytest.mark.parametrize(
    ("place", "texts", "code", "says", "add"),
    [
        ("acme.example", [], "mail.spf", "which servers", '"v=spf1 mx ~all"'),
        ("acme.example", ['"v=spf1 mx ~all"', '"v=spf1 -all"'], "mail.spf", "2 SPF records", "Make one"),
        ("acme.example", ['"v=spf1 +all"'], "mail.spf", "everybody", "~all"),
        ("acme.example", ['"v=spf1 mx"'], "mail.spf", "other servers", "~all"),
        ("s1._domainkey.acme.example", [], "mail.dkim", "no DKIM key", "s1._domainkey.acme.example"),
        ("s1._domainkey.acme.example", ['"v=DKIM1; p="'], "mail.dkim", "taken back", "another selector"),
        ("s1._domainkey.acme.example", ['"v=DKIM1; p=a b?"'], "mail.dkim", "cannot be read", "again"),
        ("s1._domainkey.acme.example", [f'"p={KEY[:100]}"'], "mail.dkim", "1,024", "2,048"),
        ("_dmarc.acme.example", [], "mail.dmarc", "forged", '_dmarc.acme.example: "v=DMARC1; p=none;'),
        ("_dmarc.acme.example", ['"v=DMARC1"'], "mail.dmarc", "no p", "p=none"),
    ],
)
def test_what_is_missing_or_wrong_is_told_with_the_record_to_add(
    server: DnsSink, place: str, texts: list[str], code: str, says: str, add: str
) -> None:
    server.records[place, "TXT"] = texts
    found = examined(server)
    assert set(found) == {code} and says in found[code]["problem"] and add in found[code]["advice"]


def test_addresses_have_names_that_lead_back(server: DnsSink) -> None:
    server.records["mail.acme.example", "A"] = ["192.0.2.8"]
    assert "does not lead back" in examined(server)["mail.ptr"]["problem"]
    del server.records["7.2.0.192.in-addr.arpa", "PTR"]
    assert "has no name" in examined(server)["mail.ptr"]["problem"]


def test_without_a_server_a_selector_a_domain_or_the_library_it_says_so(
    server: DnsSink, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "SECONDS", 0.2)
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("doctor", "--mail", f"--resolver={server.address}", stdout=out)
    assert out.getvalue().startswith("mail.dkim: Whether mail of acme.example is signed")
    server.silent = True
    assert set(examined(server)) == {"mail.resolver"}
    settings.DEFAULT_FROM_EMAIL = "CRM <crm@localhost>"
    assert set(examined(server)) == {"mail.sender"}
    monkeypatch.setattr("pipelines.doctor.mail.can_look_up", lambda: False)
    assert "requirements-dns.txt" in examined(server)["mail.library"]["advice"]
