"""Compiled programs kept by version, and what the engine must know of a pipeline."""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef

from contacts.models import Segment
from pipelines.actions.base import Writes, text_template
from pipelines.actions.registry import kinds
from pipelines.definition.blocks import Parallel
from pipelines.definition.conditions import compile_condition
from pipelines.definition.program import Program, Step, standing_exits
from pipelines.definition.reading import conditions_in
from pipelines.engine.listening import someone_listens
from pipelines.engine.rules import forget_rules
from pipelines.managers import MANAGER, relations_of
from pipelines.models import Pipeline, PipelineVersion, StepCircuit
from pipelines.subjects import NOBODY, RELATED_FIELDS, listed, unlisted

CACHE_SIZE = 2_000
# States of a circuit in which runs wait before its step.
BROKEN = (StepCircuit.State.OPEN.value, StepCircuit.State.TRIAL.value)
# Pipelines that steps may call.
RUNNABLE = (Pipeline.Status.ACTIVE.value, Pipeline.Status.PAUSED.value)
MEMORY_ROOTS = frozenset({"trigger", "vars", "steps"})
# Steps that tell in the log what their conditions found.
_JUDGING = frozenset({"condition", "switch", "wait_for"})
# What belongs to which team, and the zone that delays are read in.
_ALWAYS_READ = frozenset({"id", "timezone"})


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """A program and what the engine derives from it once."""

    program: Program
    reads_memory: bool
    relations: frozenset[str]
    defaults: dict[str, Any]
    template_keys: frozenset[str]
    # First names of what is read of the subject; None when that cannot be known before.
    reads: frozenset[str] | None
    # The fields of the subject that anything reads; None when that may be any.
    fields: frozenset[str] | None = None
    # Whether runs of older versions stay on theirs while this one is current.
    pins: bool = False
    # Blocks of which somebody reads what their children left, and keys of the pipelines that steps call.
    read_blocks: frozenset[str] = frozenset()
    called: frozenset[str] = frozenset()
    # Whether a step needs the team's own types of records.
    record_types: bool = False
    # What is read of the subject where steps judge it, and tell why in the log.
    judged: frozenset[str] = frozenset()
    # Fields of records that steps write.
    writes: tuple[Writes, ...] = ()


_programs: OrderedDict[int, LoadedProgram] = OrderedDict()


def programs(version_ids: Collection[int]) -> dict[int, LoadedProgram]:
    """The programs of these versions, loading those not yet seen in one statement.

    A published version never changes, so neither does its program.
    """
    missing = [pk for pk in version_ids if pk not in _programs]
    if missing:
        rows = PipelineVersion.objects.filter(pk__in=missing).values_list(
            "pk", "program", "runs_policy", "document__exit"
        )
        for pk, data, policy, exits in rows:
            pins = policy == PipelineVersion.RunsPolicy.PIN
            program = replace(Program.load(data), standing=standing_exits(exits or ()))
            _programs[pk] = replace(_derive(program), pins=pins)
    found = {pk: _programs[pk] for pk in version_ids if pk in _programs}
    while len(_programs) > CACHE_SIZE:
        _programs.popitem(last=False)
    return found


def _derive(program: Program) -> LoadedProgram:
    known = kinds()
    roots: set[str] = set()
    for step in program.steps:
        roots |= _roots(step)
    keys = frozenset(
        key for step in program.steps if step.kind in known for key in known[step.kind].template_keys(step)
    )
    custom = any(step.kind.startswith("custom.") for step in program.steps)
    opaque = bool(keys) or custom
    return LoadedProgram(
        program=program,
        fields=None if opaque else _fields(program),
        reads_memory=bool(program.variables) or bool(roots & MEMORY_ROOTS),
        # What templates of the team read is known to the batch; what an action of a project reads, to nobody.
        relations=relations_of(program.subject_paths) | ({*RELATED_FIELDS, MANAGER} if custom else {"owner"}),
        defaults=dict(program.defaults),
        template_keys=keys,
        reads=None if opaque else frozenset(path[0] for path in program.subject_paths if path),
        record_types=any(step.kind in known and known[step.kind].reads_record_types(step) for step in program.steps),
        writes=tuple(
            found for step in program.steps if step.kind in known and (found := known[step.kind].writes_fields(step))
        ),
        judged=_judged(program),
        read_blocks=frozenset(step.key for step in program.steps if is_read(step, program, program.reads_steps)),
        called=frozenset(str(step.raw.get("pipeline")) for step in program.steps if step.kind == "call"),
    )


def _judged(program: Program) -> frozenset[str]:
    if not any(step.guard is not None or step.kind in _JUDGING for step in program.steps):
        return frozenset()
    # No column has a name that ends with a dot.
    return frozenset("custom." if "custom" in path else path[0] for path in program.subject_paths if path)


def _fields(program: Program) -> frozenset[str] | None:
    """The fields of the subject that steps name, and those that their actions read without being told."""
    known = kinds()
    found = {path[0] if path else "" for path in program.subject_paths}
    for step in program.steps:
        implied = known[step.kind].reads_of_subject if step.kind in known else None
        if implied is None:
            return None
        found |= implied
    # The subject as a whole is everything of it.
    return None if "" in found else frozenset(found | _ALWAYS_READ)


def is_read(step: Step, program: Program, reads: Collection[str]) -> bool:
    """Whether what the children of a block leave is read by anybody, or copied up; `reads` are keys of steps."""
    if step.block is None:
        return step.kind == "call" and step.key in reads
    inside = f"{step.key}." if isinstance(step.block, Parallel) else step.block.scope
    return (
        bool(step.block.export)
        or step.key in reads
        or any(each.key in reads for each in program.steps if each.scope.startswith(inside))
    )


def _roots(step: Step) -> set[str]:
    """The names a step reads, at their first part."""
    found = set(step.params.names) | {path[0] for path in step.delay.paths if path}
    if step.guard is not None:
        found |= set(step.guard.names)
    for value in step.assign.values():
        found |= set(value.names)
    if step.block is not None:
        found |= {path[0] for path in step.block.paths if path}
    if step.assign or step.kind in ("set_variable", "parallel", "loop", "call"):
        # What is written must be read first, so that the rest of the context survives.
        found.add("vars")
    for _, condition in conditions_in(step.raw):
        found |= compile_condition(condition).names
    if step.kind == "code":
        found |= MEMORY_ROOTS
    return found | set(text_template(step.message).names)


def forget_programs() -> None:
    """Empty the cache; only tests that rebuild the database need it."""
    _programs.clear()
    forget_rules()


@dataclass(frozen=True, slots=True)
class TeamFacts:
    """What steps may know of their team, and whom its mail comes from."""

    id: int
    name: str
    timezone: str
    sender_name: str
    sender_email: str
    reply_to: str
    # Made once: every visit of a batch shows it.
    context: dict[str, Any] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "context", {"id": self.id, "name": self.name, "timezone": self.timezone})


@dataclass(frozen=True, slots=True)
class PipelineFacts:
    """One pipeline as a batch sees it."""

    id: int
    key: str
    name: str
    status: int
    current_version_id: int | None
    team: TeamFacts
    # The key of the team's own type of record that it is about; empty for others.
    subject_record: str = ""
    # Whether a change of a record of the team may matter to somebody.
    heard: bool = False
    # Whether segments of the team have rules.
    ruled: bool = False
    # Whether the circuit of any of its steps is open or on trial.
    broken: bool = False
    context: dict[str, Any] = field(default_factory=dict)


_FACTS = ("pk", "key", "name", "status", "current_version_id", "subject_record")
_TEAM = ("id", "name", "timezone", "sender_name", "sender_email", "reply_to")


def pipeline_facts(pipeline_ids: Collection[int]) -> dict[int, PipelineFacts]:
    """Read fresh for each batch, so a pause or a publish takes effect at the next one."""
    if not pipeline_ids:
        return {}
    statement, parameters = _facts_statement(connection.vendor)
    wanted = listed(pipeline_ids)
    with connection.cursor() as cursor:
        cursor.execute(statement, [wanted if each == NOBODY else each for each in parameters])
        rows = cursor.fetchall()
    return {row[0]: facts_of(row[:-3], heard=bool(row[-3]), ruled=bool(row[-2]), broken=bool(row[-1])) for row in rows}


@cache
def _facts_statement(vendor: str) -> tuple[str, tuple[Any, ...]]:
    """The statement with its parameters, of which one is `NOBODY`: writing it takes longer than asking it."""
    names = (*_FACTS, *(f"team__{name}" for name in _TEAM))
    ruled = Exists(Segment.objects.filter(team_id=OuterRef("team_id"), kind=Segment.Kind.DYNAMIC))
    broken = Exists(StepCircuit.objects.filter(step__pipeline_id=OuterRef("pk"), state__in=BROKEN))
    rows = Pipeline.objects.filter(pk__in=unlisted(NOBODY))
    return rows.values_list(*names, someone_listens("team_id"), ruled, broken).query.sql_with_params()


def pipelines_called(wanted: Collection[tuple[int, str]]) -> dict[tuple[int, str], PipelineFacts]:
    """Pipelines by team and key, those that may run."""
    rows = Pipeline.objects.filter(
        team_id__in={team_id for team_id, _ in wanted},
        key__in={key for _, key in wanted},
        status__in=RUNNABLE,
    )
    found = {(row.team_id, row.key): row.pk for row in rows.only("pk", "team_id", "key")}
    facts = pipeline_facts([pk for key, pk in found.items() if key in wanted])
    return {key: facts[pk] for key, pk in found.items() if key in wanted}


def facts_of(row: Sequence[Any], *, heard: bool = False, ruled: bool = False, broken: bool = False) -> PipelineFacts:
    """From a row of the pipeline's columns, in the order of `_FACTS`, and its team's."""
    return PipelineFacts(
        id=row[0],
        key=row[1],
        name=row[2],
        status=row[3],
        current_version_id=row[4],
        subject_record=row[5],
        team=TeamFacts(*row[6:]),
        heard=heard,
        ruled=ruled,
        broken=broken,
        context={"id": row[0], "key": row[1], "name": row[2]},
    )
