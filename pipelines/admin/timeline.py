"""The story of a run as a list: how it began, what happened to it and inside its blocks, and what is on its way."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

from pipelines.actions.registry import kinds, step_title
from pipelines.admin.links import address_of, clock_time, from_now, link_to
from pipelines.admin.places import began, blocks, noun, parts
from pipelines.admin.telling import (
    Then,
    clause,
    effect_words,
    error_of,
    message_words,
    sentence_of,
    tone_of,
    visit_title,
)
from pipelines.lineage import Place
from pipelines.models import PipelineRun, Trigger
from pipelines.states import RunPhase, RunStatus
from pipelines.story import OpenVisit, Story, StoryVisit

# Of a loop with more rounds, what went well is folded; a stretch of fewer visits is not worth it.
MOST_ROUNDS: Final = 5
FEW_VISITS: Final = 3
MOST_COMING: Final = 20
_UNSURE: Final = ("failed", "uncertain")


@dataclass(frozen=True, slots=True)
class Told:
    """One entry of the timeline."""

    step: str
    icon: str
    tone: str
    sentence: SafeString
    at: datetime | None = None
    reasons: tuple[SafeString, ...] = ()
    error: str = ""
    visit: int = 0
    attempt: int = 0
    # Of what happened inside: where that was, the page of that run, and the same with the names of its blocks.
    where: str = ""
    address: str = ""
    title: str = ""
    # The round of a long loop that went well, of which it is a part.
    round: Place | None = None


@dataclass(frozen=True, slots=True)
class Folded:
    """Many entries behind one sentence."""

    sentence: str
    entries: tuple[Told, ...]

    @property
    def at(self) -> datetime | None:
        return self.entries[0].at


def timeline(run: PipelineRun, story: Story, *, around: Sequence[Place], now: datetime) -> list[Told | Folded]:
    """The entries in order: how the run began, every visit, and what is on its way."""
    entries: list[Told | Folded] = [_entered(run, around)]
    if story.is_cut:
        entries.append(_cut())
    entries += _folded(_visits(run, story))
    entries += [told for each in story.open for told in _asked(each, story)]
    coming = [told for each in story.open for told in _coming(each, story, now)]
    coming.sort(key=lambda told: (told.at is not None, told.at or now))
    entries += coming[:MOST_COMING]
    more = tuple(coming[MOST_COMING:])
    return [*entries, Folded(f"{len(more)} more inside are on their way.", more)] if more else entries


def _entered(run: PipelineRun, around: Sequence[Place]) -> Told:
    if around:
        sentence = format_html("{}, with {}.", began(around[0]), run.version)
        return Told("Start", "login", "good", sentence, run.created_at)
    trigger = run.trigger
    chosen = trigger is None or trigger.kind == Trigger.Kind.MANUAL
    how = "by hand or through the API" if chosen else f"by “{trigger}”"
    return Told("Start", "login", "good", format_html("Entered {} with {}.", how, run.version), run.created_at)


def _cut() -> Told:
    sentence = SafeString("What happened before inside its blocks is left out here, except what failed.")
    return Told("The newest visits", "more_vert", "dull", sentence)


def _visits(run: PipelineRun, story: Story) -> list[Told]:
    thens = _thens(run, story)
    rounds = Counter((each.parent_id, each.parent_seq) for each in story.inside)
    return [
        replace(
            _visited(visit, thens[visit.id]), round=_long_round(visit, story, rounds), **_where(visit.run_id, story)
        )
        for visit in story.visits
    ]


def _visited(visit: StoryVisit, then: Then) -> Told:
    kind = kinds().get(visit.action_type)
    return Told(
        at=visit.at,
        step=visit_title(visit),
        icon=kind.icon if kind else "bolt",
        tone="bad" if then.failed else tone_of(visit),
        sentence=sentence_of(visit, then),
        reasons=tuple(clause(leaf) for leaf in visit.why or () if isinstance(leaf, Mapping) and "rule" not in leaf),
        error=error_of(visit),
        visit=visit.seq,
        attempt=visit.attempt,
    )


def _where(run_id: int, story: Story) -> dict[str, Any]:
    places = story.places.get(run_id, ())
    if not places:
        return {}
    return {"where": parts(places), "address": address_of(places[-1].run), "title": blocks(places)}


def _thens(run: PipelineRun, story: Story) -> dict[int, Then]:
    """What came after each visit: the next step in the log of its run, or where that stands now."""
    runs = {each.pk: each for each in (run, *story.inside)}
    found: dict[int, Then] = {}
    after: dict[int, StoryVisit] = {}
    for visit in reversed(story.visits):
        later, own = after.get(visit.run_id), runs[visit.run_id]
        who = noun(story.places.get(visit.run_id, ()))
        if later is None:
            failed = own.status == RunStatus.FAILED and own.seq == visit.seq
            found[visit.id] = Then(_stands_at(own, visit), who, failed=failed)
        elif later.seq != visit.seq:
            found[visit.id] = Then(visit_title(later), who)
        else:
            # Another attempt led where the last one did.
            found[visit.id] = Then(found[later.id].step, who)
        after[visit.run_id] = visit
    return found


def _stands_at(run: PipelineRun, visit: StoryVisit) -> str:
    if run.is_finished:
        return ""
    return step_title(run.step) if run.step and run.seq != visit.seq else ""


def _long_round(visit: StoryVisit, story: Story, rounds: Mapping[tuple[int | None, int], int]) -> Place | None:
    """The round of a loop with many that this visit is a part of, if all went well there."""
    if tone_of(visit) in ("bad", "warn") or any(message.state in _UNSURE for message in visit.messages):
        return None
    places = story.places.get(visit.run_id, ())
    for index, place in enumerate(places):
        if place.round is not None and rounds[place.visit] > MOST_ROUNDS and _went_well(places[index:]):
            return place
    return None


def _went_well(places: Iterable[Place]) -> bool:
    return all(place.run.is_finished and place.run.status != RunStatus.FAILED for place in places)


def _folded(entries: Sequence[Told]) -> Iterator[Told | Folded]:
    for well, group in groupby(entries, key=lambda told: told.round is not None):
        some = tuple(group)
        if well and len(some) > FEW_VISITS:
            yield Folded(_rounds_words(some), some)
        else:
            yield from some


def _rounds_words(entries: Sequence[Told]) -> str:
    """Such as "12 visits in rounds 1 to 6 of ‘Each order’ went well."."""
    found: dict[tuple[int, int], dict[int, Place]] = defaultdict(dict)
    for told in entries:
        if told.round is not None:
            found[told.round.visit][told.round.run.slot] = told.round
    return f"{len(entries)} visits in {' and '.join(map(_rounds_of, found.values()))} went well."


def _rounds_of(rounds: Mapping[int, Place]) -> str:
    block = next(iter(rounds.values())).block
    name = f" of ‘{step_title(block)}’" if block is not None else ""
    first, last = min(rounds) + 1, max(rounds) + 1
    if len(rounds) == 1:
        return f"round {first}{name}"
    return f"rounds {first} to {last}{name}" if last - first + 1 == len(rounds) else f"{len(rounds)} rounds{name}"


def _asked(visit: OpenVisit, story: Story) -> list[Told]:
    """What the visit that has not ended has asked for."""
    if visit.messages:
        asked = [(message.created_at, message_words(message)) for message in visit.messages]
    else:
        asked = [(effect.created_at, effect_words(effect)) for effect in visit.effects]
    return [_at_step(visit.run, story, at=at, sentence=sentence) for at, sentence in asked]


def _coming(visit: OpenVisit, story: Story, now: datetime) -> Iterator[Told]:
    """When the run goes on; of one inside also what it waits for, which else its own page alone would say."""
    run, tasks = visit.run, [link_to(task, f"‘{task.title}’") for task in visit.tasks]
    until = format_html(", at the latest until {}", clock_time(run.next_step_at)) if run.next_step_at else ""
    if run.status == RunStatus.PENDING and run.next_step_at:
        verb = "Repeats what failed inside" if run.phase == RunPhase.REPEAT else "Comes next"
        sentence = format_html("{}, {}.", verb, from_now(run.next_step_at, now))
        yield replace(
            _at_step(run, story, at=run.next_step_at, sentence=sentence), icon="schedule", tone="next", visit=0
        )
    elif run.status == RunStatus.WAITING and tasks:
        yield _at_step(run, story, sentence=format_html("Waits for the task {}{}.", tasks[0], until))
    elif run.pk == story.run_id or run.open_children:
        return
    elif run.status == RunStatus.WAITING:
        yield _at_step(run, story, sentence=format_html("Waits for something to happen{}.", until))
    elif run.status == RunStatus.PAUSED:
        yield _at_step(run, story, sentence=SafeString("Was paused before this step and waits to be resumed."))
    elif not visit.messages and not visit.effects:
        yield _at_step(run, story, sentence=SafeString("What it asked for is on its way."))


def _at_step(run: PipelineRun, story: Story, *, sentence: SafeString, at: datetime | None = None) -> Told:
    step = run.step
    kind = kinds().get(step.action_type) if step else None
    told = Told(step_title(step) if step else "", kind.icon if kind else "bolt", "dull", sentence, at, visit=run.seq)
    return replace(told, **_where(run.pk, story))
