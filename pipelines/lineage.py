"""The runs inside a run, and those it is inside of: branches, rounds of loops, called pipelines, and theirs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from django.db.models import F, QuerySet
from django.db.models.expressions import RawSQL

from pipelines.models import Pipeline, PipelineRun, PipelineStep, PipelineVersion, StepExecution
from pipelines.states import RunStatus
from pipelines.subjects import among

# A loop may have ten thousand rounds.
MOST_RUNS: Final = 10_000
MOST_VISITS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """Which part of the run around it a run is: a branch, a round, or a pipeline that a step called."""

    run: PipelineRun
    # The step of the run around it that began it; None where nobody knows.
    block: PipelineStep | None
    # A step of its own, with its pipeline.
    inner: PipelineStep | None
    called: bool
    # The branch of a fork that edges draw, whose steps stand in no block.
    drawn: str = ""

    @property
    def pipeline(self) -> Pipeline | None:
        """The pipeline that was called; None where none was."""
        return self.inner.pipeline if self.called and self.inner is not None else None

    @property
    def branch(self) -> str:
        """The name of the branch; empty where it is none."""
        return self.drawn or (self.inner.branch if self.inner is not None and not self.called else "")

    @property
    def round(self) -> int | None:
        """Of a loop the round, from 1; None where it is none."""
        return None if self.called or self.branch else self.run.slot + 1

    @property
    def visit(self) -> tuple[int, int]:
        """The visit that began it, as (run, seq); that of its siblings is the same."""
        return self.run.parent_id or 0, self.run.parent_seq

    @property
    def word(self) -> str:
        """As reports spell it: "fork.left", "each.2" (from 0), or the key of a called pipeline."""
        if self.called:
            return self.pipeline.key if self.pipeline is not None else ""
        own = self.branch or str(self.run.slot)
        return f"{self.block.key}.{own}" if self.block is not None else own


Places = Mapping[int, tuple[Place, ...]]


@dataclass(frozen=True, slots=True)
class InnerRun:
    """A branch or a round: the visits as (seq, step, event) in their order, and where it stands.

    `block` names the visit of a block that it belongs to, and `slot` which of its branches or rounds it is.
    """

    status: RunStatus
    step_id: int | None
    block: tuple[int, int]
    slot: int
    visits: list[tuple[int, int, int]] = field(default_factory=list)


def runs_inside(run: PipelineRun) -> list[PipelineRun]:
    """Every run inside this one as they began, in one statement; of very many the open ones and who ended last."""
    inside = PipelineRun.objects.filter(pk__in=_inside(run))
    kept = inside.order_by(F("finished_at").desc(nulls_first=True), "-pk")[:MOST_RUNS]
    return sorted(kept, key=lambda each: each.pk)


def places_of(run: PipelineRun, inside: Iterable[PipelineRun], steps: Mapping[int, PipelineStep]) -> Places:
    """Where each run inside is, from the outside in; the runs come as they began, `steps` as `steps_of` reads them."""
    inside = list(inside)
    runs = {each.pk: each for each in (run, *inside)}
    called = {each.pk: each.depth > runs[each.parent_id].depth for each in inside if each.parent_id in runs}
    places = [_place(each, steps.get(some_step(each)), called=called.get(each.pk, False)) for each in inside]
    found: dict[int, tuple[Place, ...]] = {run.pk: ()}
    for place in _with_forks(places):
        found[place.run.pk] = (*found.get(place.run.parent_id or 0, ()), place)
    return found


def places_around(run: PipelineRun) -> tuple[Place, ...]:
    """Where a run is, from the inside out; of a whole run nothing. Three statements."""
    if run.parent_id is None:
        return ()
    around = PipelineRun.objects.filter(pk__in=_around(run))
    pairs = list(pairwise(around.order_by("-pk")))
    callers = _callers(pairs)
    steps = steps_of({*callers.values(), *(some_step(each) for each, _ in pairs)})
    return tuple(_with_forks([
        _place(each, steps.get(some_step(each)), called=each.depth > outer.depth, caller=steps.get(callers[each.pk]))
        for each, outer in pairs
    ]))  # fmt: skip


def steps_of(ids: Iterable[int]) -> dict[int, PipelineStep]:
    """Steps by their ids, with the blocks they stand in and their pipelines; one statement."""
    rows = PipelineStep.objects.filter(pk__in=among(set(ids))).select_related("parent", "pipeline")
    return {step.pk: step for step in rows}


def some_step(run: PipelineRun) -> int:
    """A step of the run, also of one that has ended; 0 where there is none."""
    return run.step_id or run.last_step_id or 0


def spelled(places: Iterable[Place]) -> str:
    """Where something was, such as "fork.left/each.2"; empty for the run itself."""
    return "/".join(place.word for place in places)


def newest_first(visits: QuerySet[StepExecution]) -> QuerySet[StepExecution]:
    """Visits of a few runs, the newest first.

    Not by the column itself: a database might read the whole log backwards then, and not what these runs have in it.
    """
    return visits.order_by(-F("id"))


def way_inside(run: PipelineRun, inside: Iterable[PipelineRun]) -> list[InnerRun]:
    """The branches and rounds that the run's own version has, with their visits, in one statement."""
    found = {
        each.pk: InnerRun(RunStatus(each.status), each.step_id, (each.parent_id or 0, each.parent_seq), each.slot)
        for each in inside
        if each.version_id == run.version_id and each.depth == run.depth
    }
    if found:
        newest = newest_first(StepExecution.objects.filter(run_id__in=among(found)))[:MOST_VISITS]
        rows = list(newest.values_list("run_id", "seq", "step_id", "event"))
        for run_id, seq, step_id, event in reversed(rows):
            found[run_id].visits.append((seq, step_id, event))
    return list(found.values())


def _place(run: PipelineRun, inner: PipelineStep | None, *, called: bool, caller: PipelineStep | None = None) -> Place:
    block = caller if called or inner is None else inner.parent
    return Place(run=run, block=block, inner=inner, called=called)


def _with_forks(places: list[Place]) -> list[Place]:
    """The same, with the forks that edges draw as the version of each run has them: two statements where there are."""
    drawn = {key for each in places if (key := _key(each)) is not None}
    if not drawn:
        return places
    rows = PipelineVersion.objects.filter(pk__in={version for version, _ in drawn}).values_list("pk", "program")
    known = {pk: {step["id"]: step for step in program["steps"]} for pk, program in rows}
    found: dict[tuple[int, int] | None, tuple[int, str]] = {}
    for version, step in drawn:
        block, _, branch = known[version].get(step, {}).get("scope", "").partition(".")
        ids = [pk for pk, each in known[version].items() if each["key"] == block]
        if ids and branch:
            found[version, step] = ids[0], branch
    blocks = steps_of(block for block, _ in found.values())
    return [_in_fork(each, found, blocks) for each in places]


def _key(place: Place) -> tuple[int, int] | None:
    """Version and step of a branch whose steps stand in no block; None where they do."""
    if place.called or place.inner is None or place.block is not None:
        return None
    return place.run.version_id, place.inner.pk


def _in_fork(
    place: Place, found: Mapping[tuple[int, int] | None, tuple[int, str]], blocks: Mapping[int, PipelineStep]
) -> Place:
    block, branch = found.get(_key(place), (0, ""))
    return replace(place, block=blocks[block], drawn=branch) if block in blocks else place


def _callers(pairs: Iterable[tuple[PipelineRun, PipelineRun]]) -> dict[int, int]:
    """The step that began each run, by the run: where the run around it still stands, or as its log says."""
    found = {each.pk: outer.step_id or 0 if outer.seq == each.parent_seq else 0 for each, outer in pairs}
    began = {(outer.pk, each.parent_seq): each.pk for each, outer in pairs}
    visits = StepExecution.objects.filter(run_id__in=[run_id for run_id, _ in began])
    for run_id, seq, step_id in visits.filter(seq__in=[seq for _, seq in began]).values_list(
        "run_id", "seq", "step_id"
    ):
        if (run_id, seq) in began:
            found[began[run_id, seq]] = step_id
    return found


def _inside(run: PipelineRun) -> RawSQL:
    """By parents, not by the root: those have an index, and a run that is inside another has its own inside, too."""
    return RawSQL(
        """
WITH RECURSIVE inside (id) AS (
    SELECT id FROM pipelines_pipelinerun WHERE parent_id = %s
    UNION ALL
    SELECT child.id FROM pipelines_pipelinerun child JOIN inside ON child.parent_id = inside.id
)
SELECT id FROM inside
""",
        [run.pk],
    )


def _around(run: PipelineRun) -> RawSQL:
    return RawSQL(
        """
WITH RECURSIVE around (id, parent_id) AS (
    SELECT id, parent_id FROM pipelines_pipelinerun WHERE id = %s
    UNION ALL
    SELECT outer_run.id, outer_run.parent_id
    FROM pipelines_pipelinerun outer_run JOIN around ON outer_run.id = around.parent_id
)
SELECT id FROM around
""",
        [run.pk],
    )
