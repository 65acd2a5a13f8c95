"""Stories that the engine performs side by side in the real database, with the answers that simulations get."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib.contenttypes.models import ContentType

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.clock import pretend
from pipelines.engine.deliver import delivered_by
from pipelines.engine.events import Fact, publish_all
from pipelines.models import PipelineRun
from pipelines.operations import import_document
from pipelines.simulation.people import People
from pipelines.simulation.play import Outside, play
from pipelines.simulation.report import report_of
from pipelines.simulation.scenario import Happening, Scenario, scenario_of
from pipelines.simulation.simulate import simulate
from pipelines.simulation.stage import Stage
from pipelines.simulation.twin import OutsideTwin
from pipelines.simulation.world import World
from tests.pipelines.engine.building import NOON, later

FAR = datetime.fromisoformat("2030-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Part:
    """What becomes of one contact of a team in one pipeline."""

    team: Team
    contact: Contact
    document: Mapping[str, Any]
    scenario: Scenario

    def simulated(self) -> dict[str, Any]:
        """What a simulation says; a slow machine has the time it needs."""
        return simulate(team=self.team, document=self.document, scenario=self.scenario, seconds=600)

    def begin(self) -> int:
        """Let the contact in, in the real database: the number of its run."""
        pipeline = import_document(team=self.team, document=self.document, activate=True)
        stage = Stage(World(self.team), self.document, self.scenario, pipeline, {})
        with pretend(NOON):
            (run_id,) = stage.enroll([self.contact.pk]).enrolled
        return run_id

    def happen(self, happening: Happening, now: datetime) -> None:
        """What the scenario says comes from outside."""
        kind = ContentType.objects.get_for_model(Contact).pk
        publish_all([Fact(self.team.pk, happening.type, kind, self.contact.pk, happening.payload)], now=now)


def part(team: Team, contact: Contact, document: Mapping[str, Any], **scenario: Any) -> Part:
    return Part(team, contact, document, scenario_of({"subject": contact.pk, "until": FAR, **scenario}, now=NOON))


def performed(parts: Sequence[Part], *, after_each: Callable[[], None] | None = None) -> list[dict[str, Any]]:
    """The reports of what the engine does in passes that all share, to the end of the last.

    No two have a key of a step in common. `after_each` is called whenever the engine has done what is due.
    """
    runs = [each.begin() for each in parts]
    outside = Outside()
    for each in parts:
        for happening in each.scenario.events:
            outside.at(later(seconds=happening.after), partial(each.happen, happening))
    people = People(_merged(each.scenario.responses for each in parts), outside)

    def looked(now: datetime) -> None:
        if after_each is not None:
            after_each()
        people.look(now)

    with delivered_by(OutsideTwin(_merged(each.scenario.stubs for each in parts))):
        warnings = play(start=NOON, until=FAR, outside=outside, after_each=looked, seconds=600)
    assert warnings == []
    return [report_of(PipelineRun.objects.get(pk=pk)) for pk in runs]


def _merged(answers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {key: each for given in answers for key, each in given.items()}


def told(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what differs by nature: ids of runs and references of messages."""
    steps = [
        {name: each[name] for name in
         ("key", "branch", "visit", "entered_at", "left_at", "event", "outcome", "attempt", "why", "error")}
        for each in report["steps"]
    ]  # fmt: skip
    # Mail about a task holds the number of its form, which differs by nature.
    messages = [
        {"text": each["text"] if each["to"] == "ann@example.org" else "",
         **{name: each[name] for name in ("step", "at", "to", "subject", "state")}}
        for each in report["messages"]
    ]  # fmt: skip
    return {
        "status": report["status"], "reason": report["reason"], "finished_at": report["finished_at"],
        "steps": sorted(steps, key=lambda each: (str(each["left_at"]), each["branch"], each["visit"], each["attempt"])),
        "messages": sorted(messages, key=str),
        "vars": report["context"]["vars"],
    }  # fmt: skip
