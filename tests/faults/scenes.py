"""Small pipelines, one for each kind of effect, on an installation whose workers can be broken anywhere."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from pipelines.states import RunStatus
from tests.faults import oracle
from tests.faults.deeds import GATEWAY, LETTERS, WEB
from tests.faults.nursery import Nursery
from tests.installation import Installation, installation
from tests.pipelines.engine.building import NOON, email
from tests.sinks.http import HttpSink
from tests.sinks.providers import SmsGateway

# One of twenty-one may be lost to a fault in taking people in, and 95 % are acknowledged all the same.
BEFORE, DURING = 20, 1
MARK = {"type": "update_record", "with": {"values": {"marks": "= (contact.marks if contact.marks else 0) + 1"}}}
ACTIONS = ("PostLetter", "Poison", "Breed")
KINDS = ("records", "mail", "calls", "letters", "blocks")
# Contacts of this one are posted to a webhook instead of being saved.
POSTED = "hooks"
# Contacts of the first are told of by an event, those of the second found by a schedule; a rule segments the third.
TOLD, TIMED, RULED = "told", "timed", "ruled"
WAY = ("ask:yes", "fork:next", "greeted:greeted", "handover:next", "rounds:next", "step_1:next", "task:next",
       "turn:next", "turn:next")  # fmt: skip
# What leaves for the outside: news for webhooks, mails that ask for a confirmation, and letters by providers.
NEWS, ASKED = "news", "asked"
SMS, WHATSAPP, PUSH, CHAT = "sms", "whatsapp", "push", "chat"
BY_PROVIDERS: dict[str, dict[str, Any]] = {
    SMS: {"type": "send_sms", "with": {"text": "Hi", "topic": "transactional"}},
    WHATSAPP: {"type": "send_whatsapp", "with": {"text": "Hi", "topic": "transactional"}},
    PUSH: {"type": "send_push", "with": {"title": "Hi", "body": "Now", "topic": "transactional"}},
    CHAT: {"type": "send_chat", "with": {"text": "{{ contact.email }}"}},
}
_BUILT = {
    POSTED: "build_posted", TOLD: "build_told", TIMED: "build_timed", RULED: "build_ruled", NEWS: "build_news",
    ASKED: "build_asked",
}  # fmt: skip
_numbers = count(1)


@dataclass(slots=True)
class House:
    """An installation, a nursery of workers on it, and sinks for everything that leaves."""

    made: Installation
    nursery: Nursery
    web: HttpSink
    gateway: SmsGateway
    folder: Path

    @property
    def letters(self) -> Path:
        return self.folder / "letters.jsonl"

    def steps(self, kind: str) -> list[dict[str, Any]]:
        call = {"type": "call_api", "with": {"method": "POST", "url": f"{self.web.url}/x",
                                              "body": {"to": "= contact.email"}}}  # fmt: skip
        task = {"type": "create_task", "with": {"title": "Call {{ contact.first_name }}"}}
        if kind == "blocks":
            return [MARK, *blocks()]
        last = {
            "records": task,
            **dict.fromkeys(_BUILT, task),
            "mail": email(),
            "calls": call,
            "letters": {"type": "custom.post_letter"},
            **BY_PROVIDERS,
        }[kind]
        return [MARK, last]


def blocks() -> list[dict[str, Any]]:
    """A person is asked in one branch, a loop turns in the other; then an event that was before, and a call."""
    ask = {"key": "ask", "type": "human_task", "with": {"title": "Fit?", "outcomes": ["yes", "no"], "notify": False}}
    rounds = {"key": "rounds", "type": "loop", "with": {"times": 2, "steps": [{"key": "turn", "type": "wait"}]}}
    branches = [{"name": "ask", "steps": [ask]}, {"name": "rounds", "steps": [rounds]}]
    greeted = {"events": [{"event": "greeted", "since": "1d"}]}
    return [
        {"key": "fork", "type": "parallel", "with": {"branches": branches}},
        {"key": "greeted", "type": "wait_for", "timeout": "1h", "on": {"timeout": "end"}, "with": greeted},
        {"key": "handover", "type": "call", "with": {"pipeline": "its own"}},
    ]


@dataclass(slots=True)
class Scene:
    """One pipeline and the contacts that enter it: many in peace, some in the process that is broken."""

    house: House
    kind: str
    key: str = field(default_factory=lambda: f"s{next(_numbers)}x")
    attempted: list[str] = field(default_factory=list)

    @property
    def receipts(self) -> Path:
        return self.house.folder / f"{self.key}.jsonl"

    def build(self) -> None:
        steps = self.house.steps(self.kind)
        if self.kind == "blocks":
            steps[-1] = {**steps[-1], "with": {"pipeline": f"{self.key}_called"}}
        self.house.nursery.at_hand(_BUILT.get(self.kind, "build"), key=self.key, steps=steps)

    def numbers(self, size: int) -> list[int]:
        """The next contacts of this scene, as arguments for a deed."""
        start = len(self.attempted)
        self.attempted += [f"{self.key}{n}@example.org" for n in range(start, start + size)]
        return list(range(start, start + size))

    def enter(self, size: int = BEFORE) -> None:
        """Contacts that enter while nothing is broken."""
        self.house.nursery.at_hand("enter", key=self.key, numbers=self.numbers(size), receipts=str(self.receipts))

    def doomed(self, size: int = DURING) -> dict[str, Any]:
        """Arguments of `enter_and_work`."""
        return {"key": self.key, "numbers": self.numbers(size), "receipts": str(self.receipts)}

    def received(self, state: dict[str, Any]) -> Counter[str]:
        house = self.house
        match self.kind:
            case "mail":
                return oracle.mails(house.made.smtp.recipients(), self.key)
            case "calls":
                return oracle.calls(house.web.requests(), self.key)
            case "sms":
                return oracle.sms(house.gateway.sent(), self.key)
            case "whatsapp":
                return oracle.whatsapp(house.web.requests(), self.key)
            case "push":
                return oracle.pushes(house.web.requests(), self.key)
            case "chat":
                return oracle.chats(house.web.requests(), self.key)
            case "news":
                return oracle.news(house.web.requests(), self.key, state["ids"])
            case "asked":
                return oracle.mails(house.made.smtp.recipients(), self.key)
            case "letters":
                return oracle.letters(house.letters, self.key)
            case _:
                return Counter(state["tasks"])

    def judged(self, **facts: Any) -> None:
        """What the sinks received is right, every record changed once, and the doctor has nothing that stays."""
        state = self.house.nursery.at_hand("state", key=self.key)
        told = [] if self.kind in ("records", *_BUILT) and self.kind != ASKED else list(state["told"])
        common = {"attempted": self.attempted, "acknowledged": oracle.acknowledged(self.receipts),
                  "existing": state["contacts"]}  # fmt: skip
        marks = oracle.judge(received={k: v for k, v in state["marks"].items() if v}, **common)
        oracle.record(marks, effect="change", **facts)
        effects = oracle.judge(received=self.received(state), told=told, **common)
        oracle.record(effects, effect=self.kind, **facts)
        assert set(state["runs"].values()) <= {1}
        if self.kind == "blocks":
            # Who met the fault went the same way as everybody else: nothing but time was lost.
            ways = {tuple(way) for way in state["ways"].values()}
            assert ways == {WAY}, ways
            assert set(state["statuses"]) == {str(RunStatus.COMPLETED.value)}, state["statuses"]
        # Doubt and dead workers are worth a word, and so are the days that the clock jumped and nobody entered;
        # anything else would be something left behind.
        worth_a_word = {"messages.uncertain", "steps.deadly", "pipeline.silent"}
        left = set(self.house.nursery.at_hand("findings")) - worth_a_word
        assert not left, left

    def close(self) -> None:
        """Nobody enters any more, so that later scenes have this one not in their way."""
        self.house.nursery.at_hand("close", key=self.key)


@contextmanager
def house(folder: Path, *, name: str, allow: Sequence[int] = (), **settings: str) -> Iterator[House]:
    """An installation at noon, with sinks and a nursery; these ports of this machine may be called, too."""
    folder.mkdir(exist_ok=True)
    with (
        installation(folder, name=name) as made,
        HttpSink(folder / "web.jsonl") as web,
        SmsGateway(folder / "sms.jsonl") as sms,
    ):
        made.environment |= environment_for(web, sms, folder) | settings
        made.environment["OUTBOUND_HTTP_ALLOW"] += "".join(f",127.0.0.0/8:{port}" for port in allow)
        nursery = Nursery(folder=folder / "answers", environment=made.environment)
        try:
            nursery.do("clock", at=NOON.isoformat())
            yield House(made, nursery, web, sms, folder)
        finally:
            nursery.close()


def environment_for(web: HttpSink, gateway: SmsGateway, folder: Path) -> dict[str, str]:
    """Settings of a house: its actions, its receivers, a clock that can be set, and nobody who works by himself."""
    return {
        "PIPELINES_KICK": "0",
        "PIPELINES_TEST_CLOCK": "1",
        "PIPELINES_SEND_GROUP": "1",
        "PIPELINES_ACTIONS": ",".join(f"tests.faults.deeds.{name}" for name in ACTIONS),
        "OUTBOUND_HTTP_ALLOW": f"127.0.0.0/8:{web.port},127.0.0.0/8:{gateway.port}",
        LETTERS: str(folder / "letters.jsonl"),
        GATEWAY: gateway.url,
        WEB: web.url,
    }
