"""A step is planned from what it is given alone: the database, the network, the clock and chance raise meanwhile."""

import os
import random
import secrets
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from hypothesis import Phase, given, settings

from contacts.models import Contact
from crm.models import Team
from pipelines.actions.base import Kind
from pipelines.actions.registry import kinds
from pipelines.simulation.scenario import scenario_of
from pipelines.simulation.simulate import simulate
from tests.pipelines.engine.building import NOON, document
from tests.pipelines.simulation.stories import (
    ANSWERS_OF_PEOPLE,
    EVENTS,
    PLAIN,
    VARIABLES,
    Step,
    every_step,
    of_kind,
    stories,
)

FORBIDDEN: tuple[tuple[Any, str], ...] = (
    (CursorWrapper, "execute"),
    (CursorWrapper, "executemany"),
    (socket.socket, "connect"),
    (socket, "getaddrinfo"),
    (time, "time"),
    (timezone, "now"),
    (random, "random"),
    (random, "choice"),
    (random, "randint"),
    (secrets, "token_hex"),
    (secrets, "token_urlsafe"),
    (uuid, "uuid4"),
    (os, "urandom"),
)


class Impure(AssertionError):
    """Something outside was asked while a step was planned."""


class Guard:
    """Knows which kind is planning, and which have."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.planning = ""
        self.planned: set[str] = set()
        for owner, name in FORBIDDEN:
            monkeypatch.setattr(owner, name, self._forbidden(getattr(owner, name), name))
        for code, kind in kinds().items():
            for method in ("plan", "resume"):
                if hasattr(kind, method):
                    monkeypatch.setattr(kind, method, self._planning(code, getattr(kind, method)), raising=False)

    def _forbidden(self, true: Callable[..., Any], name: str) -> Callable[..., Any]:
        def asked(*args: Any, **kwargs: Any) -> Any:
            if self.planning:
                raise Impure(f"{self.planning} asked for {name}.")
            return true(*args, **kwargs)

        return asked

    def _planning(self, code: str, true: Callable[..., Any]) -> Callable[..., Any]:
        def plan(*args: Any, **kwargs: Any) -> Any:
            self.planning = code
            try:
                return true(*args, **kwargs)
            finally:
                self.planned.add(code)
                self.planning = ""

        return plan


# Looks for records by its nature: the engine asks for all of a batch at once, and there is nothing left to plan.
SEARCHING = {"find_records"}
TOLD: list[tuple[list[Step], dict[str, Any]]] = []


@settings(deadline=None, max_examples=300, phases=[Phase.generate], database=None, derandomize=True)
@given(stories())
def gather(story: tuple[list[Step], dict[str, Any]]) -> None:
    TOLD.append(story)


def useful(planned: set[str]) -> Iterator[tuple[list[Step], dict[str, Any]]]:
    """Stories with a kind that was not planned yet, those first that come to it soon; last, what chance left out."""
    alone: list[tuple[list[Step], dict[str, Any]]] = [
        ([{"key": "s0", "type": kind, "with": ways[0]}], {}) for kind, ways in PLAIN.items()
    ]
    for line, stubs in [*sorted(TOLD, key=lambda told: len(list(every_step(told[0])))), *alone]:
        if {one["type"] for one in every_step(line)} - planned - SEARCHING:
            yield line, stubs


def test_no_kind_asks_the_world_while_it_plans(furnished: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    gather()
    ann = Contact.objects.create(team=furnished, first_name="Ann", email="ann@example.org", phone="+4915112345679")
    guard = Guard(monkeypatch)
    for line, stubs in useful(guard.planned):
        definition = document(line, key="pure", triggers=[], settings={"max_hops": 12}, variables=VARIABLES)
        answers = dict.fromkeys(of_kind(line, "human_task"), ANSWERS_OF_PEOPLE)
        given = {"subject": ann.pk, "stubs": stubs, "until": "2030-01-01T00:00:00+00:00"}
        scenario = scenario_of({**given, "events": EVENTS, "responses": answers}, now=NOON)
        report = simulate(team=furnished, document=definition, scenario=scenario, seconds=600)
        assert "Impure" not in str(report) and "asked for" not in str(report)
    assert guard.planned | SEARCHING == set(kinds())


@pytest.mark.parametrize(("owner", "name"), FORBIDDEN)
def test_the_guard_notices(owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Curious(Kind):
        code = "curious"

        def plan(self, step: Any, batch: Any) -> Any:
            return getattr(owner, name)()

    guard = Guard(monkeypatch)
    curious = guard._planning("curious", Curious().plan)
    with pytest.raises(Impure, match=f"curious asked for {name}"):
        curious(None, [])
