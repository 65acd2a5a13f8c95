"""One transaction's worth of runs in memory: what they read, and everything that is to be written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contacts.own_fields import MODELS
from pipelines.actions.base import Child, Create, EffectRequest, Enroll, MakeSegment, Member, Unenroll, Update, WaitFor
from pipelines.definition.program import Step
from pipelines.engine.cursor import Ancestor, Answer, Cursor, Memory, NewRun, Visit
from pipelines.engine.programs import MEMORY_ROOTS, LoadedProgram, PipelineFacts
from pipelines.engine.rejoining import rejoin, reschedule
from pipelines.engine.related import Related
from pipelines.engine.resources import TeamResources
from pipelines.engine.store.portable import PortableStore
from pipelines.managers import MANAGER, relations_of
from pipelines.subjects import subject_named, subject_type, subject_types


@dataclass(slots=True)
class Batch:
    """Runs of one transaction with what they read and what they write."""

    store: PortableStore
    now: datetime
    cursors: list[Cursor]
    # Whether these runs are tests: nothing of them leaves, and nothing is counted.
    test: bool = False
    answers: dict[int, Answer] = field(default_factory=dict)
    facts: dict[int, PipelineFacts] = field(default_factory=dict)
    programs: dict[int, LoadedProgram] = field(default_factory=dict)
    subjects: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    memories: dict[int, Memory] = field(default_factory=dict)
    resources: dict[int, TeamResources] = field(default_factory=dict)
    # Names under which the log tells no values, known where steps judge own fields.
    personal: frozenset[str] = frozenset()
    visits: list[Visit] = field(default_factory=list)
    effects: list[tuple[Cursor, Step, EffectRequest]] = field(default_factory=list)
    updates: list[tuple[int, Update]] = field(default_factory=list)
    creates: list[tuple[Cursor, int, Create]] = field(default_factory=list)
    segments: list[tuple[int, MakeSegment]] = field(default_factory=list)
    members: list[tuple[Cursor, Member]] = field(default_factory=list)
    # With the step that said so, and the number of its visit.
    enrollments: list[tuple[Cursor, tuple[int, int], Enroll | Unenroll]] = field(default_factory=list)
    # Obligations, each with the visit it belongs to.
    waits: list[tuple[Cursor, WaitFor]] = field(default_factory=list)
    # Child runs to be inserted; their parents count them.
    spawned: list[tuple[Child, NewRun]] = field(default_factory=list)
    # Children that failed before and for which there is room now.
    again: list[int] = field(default_factory=list)
    # Blocks that cannot be left in this transaction, and when the visits of blocks began.
    held: set[int] = field(default_factory=set)
    began: dict[int, datetime] = field(default_factory=dict)
    # The runs around child runs, the outermost first, and pipelines that steps call, by team and key.
    lineages: dict[int, list[Ancestor]] = field(default_factory=dict)
    # When the first of all blocks around a run has to be over.
    deadlines: dict[int, datetime] = field(default_factory=dict)
    callable: dict[tuple[int, str], PipelineFacts] = field(default_factory=dict)
    # Visits whose other obligations end because the first was met, as (run, seq).
    released: list[tuple[int, int]] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    # Runs before a step whose delay cannot be worked out, and why.
    undated: dict[int, str] = field(default_factory=dict)
    # Steps whose circuit is open, the one of them into which these runs are let, and how many it refused.
    broken: frozenset[int] = frozenset()
    trial: int | None = None
    # Whether its errors are the end of a visit, whatever rule of trying again its step has.
    final: bool = False
    refused: int = 0
    # What subjects hold of other records, and records that steps relate them to.
    related: Related = field(default_factory=Related)
    # Whether anything reads the managers of owners.
    reads_managers: bool = False
    _type_ids: dict[str, int] = field(default_factory=dict)
    # The version that runs of a pipeline may take over in here, where some are inside a step of another.
    _next: dict[int, int] = field(default_factory=dict)
    # By version and team: templates are the team's, and change without a version.
    _reads: dict[tuple[int, int], frozenset[str]] = field(default_factory=dict)
    # Contexts of runs that remember nothing, as of their versions: from visit to visit only `run` differs.
    _contexts: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)

    def load(self, *, everything: bool = False) -> None:
        """Read what the steps of this batch read, or everything a condition may: a fixed number of statements."""
        self.facts = self.store.pipeline_facts({cursor.pipeline_id for cursor in self.cursors})
        broken = [facts.id for facts in self.facts.values() if facts.broken]
        self.broken = self.store.broken_steps(broken) if broken else frozenset()
        current = {facts.current_version_id for facts in self.facts.values() if facts.current_version_id is not None}
        self.programs = self.store.programs({cursor.version_id for cursor in self.cursors} | current)
        for cursor in self.cursors:
            rejoin(self, cursor)
        # Runs inside a step take over the current version when they leave it, and go on by it at once.
        current_of = {pk: facts.current_version_id for pk, facts in self.facts.items()}
        stood = {(cursor.pipeline_id, cursor.version_id) for cursor in self.cursors}
        self._next = {pk: next_id for pk, old in stood if (next_id := current_of[pk]) is not None and next_id != old}
        self._load_called()
        self._load_resources()
        self._load_subjects(everything=everything)
        remembering = [cursor.id for cursor in self.cursors if everything or self._remembers(cursor)]
        if remembering:
            self.memories = self.store.load_memories(remembering)
        if any(cursor.parent_id is not None for cursor in self.cursors):
            self._load_lineages()
        reschedule(self)

    def _load_called(self) -> None:
        """The pipelines that steps of this batch call, as they are now."""
        moving = {(cursor.pipeline_id, cursor.version_id) for cursor in self.cursors} | self._next.items()
        wanted = {
            (self.facts[pipeline_id].team.id, key)
            for pipeline_id, version_id in moving
            for key in self.programs[version_id].called
        }
        if wanted:
            self.callable = self.store.pipelines_called(wanted)
            versions = {facts.current_version_id for facts in self.callable.values()}
            self.programs.update(self.store.programs({pk for pk in versions if pk is not None}))

    def called(self, cursor: Cursor, key: str) -> PipelineFacts | None:
        """A pipeline of the same team by its key."""
        return self.callable.get((self.facts[cursor.pipeline_id].team.id, key))

    def _load_lineages(self) -> None:
        """Up to the root, or to the run of a called pipeline, which knows nothing of who called it but must be over."""
        known: dict[int, Ancestor] = {}
        level = {cursor.parent_id for cursor in self.cursors}
        while wanted := {pk for pk in level if pk is not None and pk not in known}:
            found = self.store.ancestors(wanted)
            known.update(found)
            level = {each.parent_id for each in found.values()}
        for cursor in self.cursors:
            lineage: list[Ancestor] = []
            step_id = cursor.step_id
            around: Ancestor | None = known.get(cursor.parent_id or 0)
            while around is not None and self._inside(cursor.version_id, step_id):
                lineage.insert(0, around)
                step_id = around.step_id
                around = known.get(around.parent_id or 0)
            if lineage:
                self.lineages[cursor.id] = lineage
            if (first := _first_deadline(known, cursor.parent_id)) is not None:
                self.deadlines[cursor.id] = first

    def _inside(self, version_id: int, step_id: int | None) -> bool:
        """Whether a step stands in a list inside a block; children have the version of their parents."""
        step = self.programs[version_id].program.by_id.get(step_id or 0)
        return step is not None and step.scope != ""

    def _remembers(self, cursor: Cursor) -> bool:
        if cursor.parent_id is not None or self._reads_memory(cursor.pipeline_id, cursor.version_id):
            return True
        return cursor.pipeline_id in self._next and self._reads_memory(
            cursor.pipeline_id, self._next[cursor.pipeline_id]
        )

    def _reads_memory(self, pipeline_id: int, version_id: int) -> bool:
        loaded = self.programs[version_id]
        if loaded.reads_memory:
            return True
        team = self.facts[pipeline_id].team.id
        return bool(loaded.template_keys) and bool(self.resources[team].names & MEMORY_ROOTS)

    def reads(self, cursor: Cursor) -> frozenset[str]:
        """The keys of the steps whose outputs are kept: later steps read them, or the templates that those send."""
        following = self._next.get(cursor.pipeline_id) if self._next else None
        found = self._reads_of(cursor.pipeline_id, cursor.version_id)
        return found if following is None else found | self._reads_of(cursor.pipeline_id, following)

    def _reads_of(self, pipeline_id: int, version_id: int) -> frozenset[str]:
        loaded = self.programs[version_id]
        if not loaded.template_keys:
            return loaded.program.reads_steps
        key = (version_id, self.facts[pipeline_id].team.id)
        if key not in self._reads:
            paths = self.resources[key[1]].paths_of(loaded.template_keys)
            self._reads[key] = loaded.program.outputs_read(paths)
        return self._reads[key]

    def _load_subjects(self, *, everything: bool) -> None:
        wanted: dict[int, set[int]] = {}
        relations: set[str] = set()
        for cursor in self.cursors:
            if cursor.subject_type_id is not None and cursor.subject_id is not None:
                wanted.setdefault(cursor.subject_type_id, set()).add(cursor.subject_id)
        moments: set[str] | None = None if everything else set()
        fields: set[str] | None = None if everything else set()
        for program in self.programs.values():
            relations |= program.relations
            for known in self.resources.values() if program.template_keys else ():
                relations |= relations_of(path[1:] for path in known.paths_of(program.template_keys))
            moments = None if moments is None or program.reads is None else moments | program.reads
            fields = None if fields is None or program.fields is None else fields | program.fields
        self.reads_managers = everything or MANAGER in relations
        for type_id, ids in wanted.items():
            narrowed = None if everything else relations
            rows = self.store.subjects(type_id, ids, relations=narrowed, moments=moments, fields=fields)
            self.subjects.update({(type_id, pk): data for pk, data in rows.items()})

    def _load_resources(self) -> None:
        keys: dict[int, set[str]] = {}
        typed: set[int] = set()
        written: dict[int, set[str]] = {}
        about = {(cursor.pipeline_id, cursor.version_id, cursor.subject_type_id) for cursor in self.cursors}
        about |= {(pk, self._next[pk], type_id) for pk, _, type_id in about if pk in self._next}
        for pipeline_id, version_id, type_id in about:
            team_id = self.facts[pipeline_id].team.id
            written.setdefault(team_id, set()).update(self._written(version_id, type_id))
            keys.setdefault(team_id, set()).update(self.programs[version_id].template_keys)
            if self.programs[version_id].record_types or self.facts[pipeline_id].subject_record:
                typed.add(team_id)
        self.resources = {
            team: self.store.resources(team, found, record_types=team in typed, fields_of=written[team])
            for team, found in keys.items()
        }
        for known in self.resources.values():
            if known.fields or known.record_types:
                self.personal |= known.personal

    def _written(self, version_id: int, subject_type_id: int | None) -> set[str]:
        """The models of which steps write or judge values that are no columns: the team may have defined them."""
        found: set[str] = set()
        judged = self.programs[version_id].judged
        if judged and subject_type_id is not None and judged - subject_type(subject_type_id).hiding:
            return set(MODELS)
        for writes in self.programs[version_id].writes:
            if writes.model == "*":
                return set(MODELS)
            kind = subject_types().get(writes.model) if writes.model else None
            if not writes.model and subject_type_id is not None:
                kind = subject_type(subject_type_id)
            if kind is not None and writes.names - {*kind.plain, *kind.relations}:
                found.add(kind.label)
        return found & MODELS

    def spare(self, cursor: Cursor) -> None:
        """Nobody fails at a trial: the run waits on, behind the others."""
        cursor.postpone(until=self.now)
        self.held.add(cursor.id)
        self.refused += 1

    def subject_of(self, cursor: Cursor) -> dict[str, Any] | None:
        if cursor.subject_type_id is None or cursor.subject_id is None:
            return None
        return self.subjects.get((cursor.subject_type_id, cursor.subject_id))

    def memory_of(self, cursor: Cursor) -> Memory:
        return self.memories.setdefault(cursor.id, Memory())

    def context_of(self, cursor: Cursor) -> dict[str, Any]:
        """The names of engine.md 7.1 for one run."""
        if cursor.parent_id is not None or cursor.id in self.memories:
            return self._context_anew(cursor)
        key = (cursor.id, cursor.version_id)
        known = self._contexts.get(key)
        if known is None:
            known = self._contexts[key] = self._context_anew(cursor)
            return known
        again = known.copy()
        again["run"] = {"id": cursor.id, "seq": cursor.seq, "started_at": cursor.created_at}
        return again

    def _context_anew(self, cursor: Cursor) -> dict[str, Any]:
        loaded = self.programs[cursor.version_id]
        facts = self.facts[cursor.pipeline_id]
        subject = self.subject_of(cursor)
        memory, began = self.memories.get(cursor.id), cursor.created_at
        if cursor.parent_id is not None:
            memory, began = self._seen_by(cursor)
        variables = {**loaded.defaults, **memory.vars} if memory else loaded.defaults
        context: dict[str, Any] = {
            **variables,
            **(memory.locals if memory else {}),
            "vars": variables,
            "trigger": memory.trigger if memory else {},
            "steps": memory.outputs if memory else {},
            "run": {"id": cursor.id, "seq": cursor.seq, "started_at": began},
            "pipeline": facts.context,
            "team": facts.team.context,
            "now": self.now,
            "subject": subject,
        }
        if subject is not None:
            context[str(subject["model"]).rpartition(".")[2]] = subject
            if loaded.program.alias:
                context[loaded.program.alias] = subject
        return context

    def _seen_by(self, cursor: Cursor) -> tuple[Memory, datetime]:
        """What a child run and all around it remember, the innermost first, and when the outermost began."""
        lineage = self.lineages.get(cursor.id, [])
        seen = Memory()
        for memory in (*(each.memory for each in lineage), self.memories.get(cursor.id)):
            if memory is None:
                continue
            seen.trigger = seen.trigger or memory.trigger
            seen.vars = {**seen.vars, **memory.vars}
            seen.outputs = {**seen.outputs, **memory.outputs}
            # A variable of an inner run hides a name of a loop around it.
            seen.locals = {name: value for name, value in seen.locals.items() if name not in memory.vars}
            seen.locals.update(memory.locals)
        return seen, lineage[0].created_at if lineage else cursor.created_at

    def subject_at(self, label: str, pk: int) -> dict[str, Any] | None:
        """A record by its model and id, if it is the subject of a run in here."""
        type_id = self._type_ids.get(label)
        if type_id is None and (kind := subject_named(label)) is not None:
            type_id = self._type_ids[label] = kind.content_type_id
        return self.subjects.get((type_id, pk)) if type_id is not None else None


def _first_deadline(known: Mapping[int, Ancestor], run_id: int | None) -> datetime | None:
    """The earliest time at which this run or one around it has to be over."""
    found: list[datetime] = []
    while (around := known.get(run_id or 0)) is not None:
        if around.deadline is not None:
            found.append(around.deadline)
        run_id = around.parent_id
    return min(found, default=None)
