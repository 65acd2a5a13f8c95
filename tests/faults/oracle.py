"""The judge of the fault tests: what the sinks received, in the classes of a total queue."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.db import connection

from tests.project.processes import ROOT

# One line for each judged scene; `python -m tests.faults.report` makes a table of them.
LEDGER = ROOT / "var" / "faults.jsonl"
ENOUGH = 0.95


@dataclass(slots=True)
class Tally:
    """Effects owed and what became of them.

    Attempted are all that a process began to cause, acknowledged those whose cause the database committed.
    Of these: arrived once or more, told to people as doubtful or failed, or lost. Recovered arrived although
    nobody heard that their cause was committed. Unexpected belongs to nobody.
    """

    attempted: int
    acknowledged: int
    arrived: int = 0
    told: int = 0
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    recovered: int = 0


def judge(
    *,
    attempted: Iterable[str],
    acknowledged: Iterable[str],
    existing: Iterable[str],
    received: Mapping[str, int],
    told: Iterable[str] = (),
) -> Tally:
    """Compare who was owed an effect with how often each received it."""
    owed, real, doubtful = set(acknowledged), set(existing), set(told)
    tally = Tally(attempted=len(set(attempted)), acknowledged=len(owed))
    tally.arrived = sum(1 for name in owed if received.get(name))
    tally.told = len(owed & doubtful)
    tally.lost = sorted(name for name in owed if not received.get(name) and name not in doubtful)
    tally.duplicated = sorted(name for name, count in received.items() if count > 1)
    tally.unexpected = sorted(set(received) - real)
    tally.recovered = len((real - owed) & set(received))
    return tally


def record(tally: Tally, *, excused: int = 0, **facts: Any) -> None:
    """Keep the figures, then insist on them; so many, in a broken process, need not be acknowledged or arrive."""
    LEDGER.parent.mkdir(exist_ok=True)
    counted = {name: len(value) if isinstance(value, list) else value for name, value in asdict(tally).items()}
    line = json.dumps({"database": connection.vendor, **facts, **counted})
    with LEDGER.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    assert tally.lost == [], f"lost: {tally.lost}"
    assert tally.duplicated == [], f"twice: {tally.duplicated}"
    assert tally.unexpected == [], f"for nobody: {tally.unexpected}"
    # Nothing is proven by a test in which nothing ran.
    assert tally.acknowledged >= min(ENOUGH * tally.attempted, tally.attempted - excused), tally
    assert tally.arrived >= min(ENOUGH * tally.acknowledged, tally.acknowledged - excused), tally


def mails(recipients: Iterable[str], key: str) -> Counter[str]:
    """How often each address of a scene got its mail."""
    return Counter(address for address in recipients if address.startswith(key))


def calls(requests: Iterable[Mapping[str, Any]], key: str) -> Counter[str]:
    """How many different calls each contact caused; a repeat by the same id is what receivers discard."""
    ids: dict[str, set[str]] = {}
    for request in requests:
        # What browsers get is sealed.
        if request["path"].startswith("/push/"):
            continue
        headers = {name.lower(): value for name, value in request["headers"].items()}
        to = json.loads(request["body"]).get("to", "")
        if to.startswith(key):
            ids.setdefault(to, set()).add(headers["webhook-id"])
    return Counter({to: len(found) for to, found in ids.items()})


def letters(path: Path, key: str) -> Counter[str]:
    """How many different letters each contact got; repeats carry the same key."""
    keys: dict[str, set[str]] = {}
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            letter = json.loads(line)
            if letter["to"].startswith(key):
                keys.setdefault(letter["to"], set()).add(letter["key"])
    return Counter({to: len(found) for to, found in keys.items()})


def sms(forms: Iterable[Mapping[str, str]], key: str) -> Counter[str]:
    """How often each contact got its SMS, by the number that was made of it; no provider discards repeats."""
    numbers = Counter(form["To"] for form in forms)
    return Counter({address_of(number, key): n for number, n in numbers.items() if address_of(number, key)})


def whatsapp(requests: Iterable[Mapping[str, Any]], key: str) -> Counter[str]:
    """How often each contact got its WhatsApp message, by its number as well."""
    numbers = [json.loads(request["body"])["to"] for request in requests if request["path"] == "/77/messages"]
    return sms([{"To": f"+{number}"} for number in numbers], key)


def pushes(requests: Iterable[Mapping[str, Any]], key: str) -> Counter[str]:
    """How often the browser of each contact got its message, by the address it subscribed with."""
    paths = [request["path"].removeprefix("/push/") for request in requests]
    return Counter(address for address in paths if address.startswith(key))


def chats(requests: Iterable[Mapping[str, Any]], key: str) -> Counter[str]:
    """How often the room was told of each contact."""
    texts = [json.loads(request["body"])["text"] for request in requests if request["path"] == "/chat"]
    return Counter(text for text in texts if text.startswith(key))


def number_of(key: str, number: int) -> str:
    """The phone of the contact of this number in a scene."""
    digits = "".join(each for each in key if each.isdigit())
    return f"+4915{int(digits or 0):04}{number:05}"


def address_of(phone: str, key: str) -> str:
    """The email of the contact with this phone; empty for those of other scenes."""
    start = number_of(key, 0)[:-5]
    return f"{key}{int(phone[len(start) :])}@example.org" if phone.startswith(start) else ""


def news(requests: Iterable[Mapping[str, Any]], key: str, ids: Mapping[str, str]) -> Counter[str]:
    """How often each contact was told of: that it was made, and that its run ended; repeats carry the same id.

    `ids` has the address by the contact's id. Who was told of one of the two alone counts as not told of.
    """
    found: dict[str, dict[str, set[str]]] = {}
    for request in requests:
        if request["path"] == f"/news/{key}":
            headers = {name.lower(): value for name, value in request["headers"].items()}
            body = json.loads(request["body"])
            about = ids.get(str(body["data"]["subject"]["id"]), "nobody")
            found.setdefault(about, {}).setdefault(body["type"], set()).add(headers["webhook-id"])
    return Counter(
        {about: max(map(len, kinds.values())) for about, kinds in found.items() if len(kinds) == 2 or about == "nobody"}
    )


def acknowledged(path: Path) -> list[str]:
    """Addresses of contacts whose creation was committed and heard of."""
    if not path.exists():
        return []
    return [json.loads(line)["email"] for line in path.read_text("utf-8").splitlines()]


def forget() -> None:
    """Begin a new ledger."""
    if LEDGER.exists():
        os.remove(LEDGER)
