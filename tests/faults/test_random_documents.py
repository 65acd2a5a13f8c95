"""A process that breaks at any point of the engine changes nothing but time, whatever the document."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from crm.faults import POINTS
from tests.examples import groups, together
from tests.faults.points import all_points
from tests.faults.scenes import House, house
from tests.pipelines.engine.building import later
from tests.pipelines.engine.company import Documents, Steady

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("random documents")]
DEEDS = "tests.faults.lives"
HOURS = 14
# So many random pipelines share a team, its hours and what breaks in them.
TOGETHER = together(6)
GROUPS = groups(TOGETHER)
SHOWN = 3
# The hour, and which of its turns.
Moment = tuple[int, int]
CHANNELS = ("email", "sms", "whatsapp")
# An error of ours while calling out is an answer to the step, which tries again later or takes its error edge: that is
# its way, not ours.
ANSWERED = ("before_http", "after_http", "in_send")
WORTH_A_WORD = {"messages.uncertain", "steps.deadly", "pipeline.silent"}


class Timely(Steady):
    """A system that answers some questions only when they are asked again at a later moment.

    A repeat after a death is still the same question.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.turn: Moment = 0, 0
        self._first: dict[str, Moment] = {}

    def is_new(self, asked: str) -> bool:
        return self._first.setdefault(asked, self.turn) == self.turn


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Timely]:
    with Timely(tmp_path_factory.mktemp("system") / "calls.jsonl") as system:
        yield system


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, system: Timely) -> Iterator[House]:
    all_points()
    more = {"PIPELINES_CODE_STEPS": "1", "PIPELINES_BATCH_SIZE": "7"}
    with house(tmp_path_factory.mktemp("lives"), name="faults_lives", allow=[system.port], **more) as made:
        yield made


@pytest.mark.parametrize("group", GROUPS)
def test_a_process_that_breaks_anywhere_changes_nothing_but_time(place: House, system: Timely, group: int) -> None:
    seeds = list(range(group * TOGETHER, (group + 1) * TOGETHER))
    peace, war = Life(place, system, f"peace{group}", seeds), Life(place, system, f"war{group}", seeds)
    met = peace.lived({})
    before = set(place.nursery.at_hand(f"{DEEDS}.findings", hour=HOURS))
    war.lived(chosen(met, Random(group)))
    assert war.broken
    differing = war.differences(peace.became())
    assert not differing, f"{war.broken}\n" + "\n".join(differing[:SHOWN])
    arrived_as_told(place, system)
    found = set(place.nursery.at_hand(f"{DEEDS}.findings", hour=HOURS))
    assert found - before - WORTH_A_WORD == set(), war.broken


class Life:
    """A team with random pipelines, whose hours pass in peace or with what breaks."""

    def __init__(self, place: House, system: Timely, name: str, seeds: list[int]) -> None:
        self._place, self._system, self._name, self._seeds = place, system, name, seeds
        self.broken: list[str] = []

    def lived(self, faults: Mapping[Moment, list[str]]) -> dict[Moment, dict[str, int]]:
        """Pass all hours, breaking processes where there are faults for a moment; how often each point was met.

        An hour has further moments when calls that failed are tried again in it.
        """
        self._system.turn = (0, 0)
        self._do("begin", life=self._name, seeds=self._seeds, url=self._system.url)
        met: dict[Moment, dict[str, int]] = {}
        for hour in range(HOURS):
            if hour:
                self._do("outside", life=self._name, hour=hour)
            at: str | None = later(hours=hour).isoformat()
            for turn in count():
                self._system.turn = moment = hour, turn
                for fault in faults.get(moment, []):
                    self._break(at, fault)
                met[moment] = self._do("look", at=at)
                at = self._do("tried_next", at=at, hour=hour)
                if at is None:
                    break
        return met

    def _break(self, at: str | None, fault: str) -> None:
        child = self._place.nursery.start(f"{DEEDS}.look", fault=fault, at=at)
        status = child.wait()
        stood_still = status is None
        if stood_still:
            # For longer than its leases last; it goes on when others have done its work.
            self._do("look", at=at)
            child.go_on()
            status = child.wait()
        assert status in (0, 1, -9)
        if stood_still or status or _met(child.answer, fault):
            self.broken.append(f"{at}: {fault}")

    def became(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self._do("became", life=self._name, seeds=self._seeds, url=self._system.url)
        return found

    def differences(self, peace: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Documents of whose contacts something else became; nothing is asked of those who were told of doubt."""
        mine, differing = self.became(), []
        assert not any(found["doubted"] for found in peace.values())
        # Letters are handed over one by one here, so whoever breaks leaves one in doubt at the most.
        assert sum(len(found["doubted"]) for found in mine.values()) <= len(self.broken)
        for seed, found in mine.items():
            doubted = set(found["doubted"])
            for name in ("rows", "ways"):
                one, other = ([row for row in each[name] if row[0] not in doubted] for each in (peace[seed], found))
                if one != other:
                    gone = [row for row in one if row not in other], [row for row in other if row not in one]
                    text = json.dumps(Documents(int(seed), url="").whole())
                    differing.append(f"seed {seed} {name}: {text}\npeace: {gone[0]}\nwar:   {gone[1]}")
        return differing

    def _do(self, deed: str, **arguments: Any) -> Any:
        return self._place.nursery.at_hand(f"{DEEDS}.{deed}", **arguments)


def chosen(met: Mapping[Moment, Mapping[str, int]], chance: Random) -> dict[Moment, list[str]]:
    """One or two faults for every moment in which points are met, somewhere among the passes of one of them."""
    return {
        moment: [_fault(found, chance) for _ in range(chance.choice([1, 1, 2]))]
        for moment, found in met.items()
        if found
    }


def _met(passed: Mapping[str, int], fault: str) -> bool:
    """Whether a process that came to its end had been at the point at which it was told to break."""
    name, _, nth = fault.split(":")
    return passed.get(name, 0) >= int(nth)


def _fault(met: Mapping[str, int], chance: Random) -> str:
    name = chance.choice(sorted(met))
    actions = ["kill9", "kill9", "raise", "exec_then_raise"]
    if not POINTS[name].in_transaction:
        actions.append("stop")
    if name in ANSWERED:
        actions = ["kill9"]
    return f"{name}:{chance.choice(actions)}:{chance.randint(1, met[name])}"


def arrived_as_told(place: House, system: Timely) -> None:
    """Sinks received what the database says has left, each thing once, what is doubtful once or never."""
    owed = place.nursery.at_hand(f"{DEEDS}.owed")
    assert owed["tasks"] == []
    asked = Counter(_header(each, "webhook-id") for each in system.requests())
    assert set(asked) <= set(owed["calls"])
    wrong = {
        name: [*told, asked[name]]
        for name, told in owed["calls"].items()
        if not (told[0] in ("Done", "Failed")) <= asked[name] <= told[1]
    }
    assert wrong == {}
    arrived = _letters(place)
    assert set(arrived) <= set(owed["letters"])
    off = {name: [*told, arrived[name]] for name, told in owed["letters"].items() if name.split()[0] in CHANNELS}
    assert {name: (least, most, n) for name, (least, most, n) in off.items() if not least <= n <= most} == {}


def _letters(place: House) -> Counter[str]:
    """How often each address got something, by channel."""
    numbers = [json.loads(each["body"])["to"] for each in place.web.requests() if each["path"] == "/77/messages"]
    return Counter(
        [f"email {address}" for address in place.made.smtp.recipients()]
        + [f"sms {form['To']}" for form in place.gateway.sent()]
        + [f"whatsapp +{number}" for number in numbers]
    )


def _header(request: Mapping[str, Any], name: str) -> str:
    return str({key.lower(): value for key, value in request["headers"].items()}[name])
