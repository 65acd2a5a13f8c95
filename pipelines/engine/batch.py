"""One transaction's worth of runs in memory: what they read, and everything that is to be written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipelines.actions.base import Create, EffectRequest, Start, Update, WaitFor
from pipelines.definition.program import Step
from pipelines.engine.cursor import Answer, Cursor, Memory, Visit
from pipelines.engine.programs import MEMORY_ROOTS, LoadedProgram, PipelineFacts
from pipelines.engine.rejoining import rejoin, reschedule
from pipelines.engine.resources import TeamResources
from pipelines.engine.store.portable import PortableStore
from pipelines.subjects import subject_types


@dataclass(slots=True)
class Batch:
    """Runs of one transaction with what they read and what they write."""

    store: PortableStore
    now: datetime
    cursors: list[Cursor]
    answers: Mapping[int, Answer] = field(default_factory=dict)
    facts: dict[int, PipelineFacts] = field(default_factory=dict)
    programs: dict[int, LoadedProgram] = field(default_factory=dict)
    subjects: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    memories: dict[int, Memory] = field(default_factory=dict)
    resources: dict[int, TeamResources] = field(default_factory=dict)
    visits: list[Visit] = field(default_factory=list)
    effects: list[tuple[Cursor, Step, EffectRequest]] = field(default_factory=list)
    updates: list[tuple[int, Update]] = field(default_factory=list)
    creates: list[tuple[Cursor, int, Create]] = field(default_factory=list)
    # Obligations, each with the visit it belongs to.
    waits: list[tuple[Cursor, WaitFor]] = field(default_factory=list)
    starts: list[tuple[Cursor, Start]] = field(default_factory=list)
    # Visits whose other obligations end because the first was met, as (run, seq).
    released: list[tuple[int, int]] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)

    def load(self) -> None:
        """Read what the steps of this batch read: a fixed number of statements."""
        self.facts = self.store.pipeline_facts({cursor.pipeline_id for cursor in self.cursors})
        current = {facts.current_version_id for facts in self.facts.values() if facts.current_version_id is not None}
        self.programs = self.store.programs({cursor.version_id for cursor in self.cursors} | current)
        for cursor in self.cursors:
            rejoin(self, cursor)
        self._load_subjects()
        self._load_resources()
        remembering = [cursor.id for cursor in self.cursors if self._remembers(cursor)]
        if remembering:
            self.memories = self.store.load_memories(remembering)
        reschedule(self)

    def _remembers(self, cursor: Cursor) -> bool:
        loaded = self.programs[cursor.version_id]
        if loaded.reads_memory:
            return True
        team = self.facts[cursor.pipeline_id].team.id
        return bool(loaded.template_keys) and bool(self.resources[team].names & MEMORY_ROOTS)

    def _load_subjects(self) -> None:
        wanted: dict[int, set[int]] = {}
        relations: set[str] = set()
        for cursor in self.cursors:
            if cursor.subject_type_id is not None and cursor.subject_id is not None:
                wanted.setdefault(cursor.subject_type_id, set()).add(cursor.subject_id)
        moments: set[str] | None = set()
        for program in self.programs.values():
            relations |= program.relations
            moments = None if moments is None or program.reads is None else moments | program.reads
        for type_id, ids in wanted.items():
            rows = self.store.subjects(type_id, ids, relations=relations, moments=moments)
            self.subjects.update({(type_id, pk): data for pk, data in rows.items()})

    def _load_resources(self) -> None:
        keys: dict[int, set[str]] = {}
        for pipeline_id, version_id in {(cursor.pipeline_id, cursor.version_id) for cursor in self.cursors}:
            team_id = self.facts[pipeline_id].team.id
            keys.setdefault(team_id, set()).update(self.programs[version_id].template_keys)
        self.resources = {team: self.store.resources(team, found) for team, found in keys.items()}

    def subject_of(self, cursor: Cursor) -> dict[str, Any] | None:
        if cursor.subject_type_id is None or cursor.subject_id is None:
            return None
        return self.subjects.get((cursor.subject_type_id, cursor.subject_id))

    def memory_of(self, cursor: Cursor) -> Memory:
        return self.memories.setdefault(cursor.id, Memory())

    def context_of(self, cursor: Cursor) -> dict[str, Any]:
        """The names of engine.md 7.1 for one run."""
        loaded = self.programs[cursor.version_id]
        facts = self.facts[cursor.pipeline_id]
        subject = self.subject_of(cursor)
        context: dict[str, Any] = dict(loaded.defaults)
        memory = self.memories.get(cursor.id)
        variables = {**loaded.defaults, **memory.vars} if memory else context
        if memory:
            context.update(memory.vars)
        context.update(
            {
                "vars": variables,
                "trigger": memory.trigger if memory else {},
                "steps": memory.outputs if memory else {},
                "run": {"id": cursor.id, "seq": cursor.seq, "started_at": cursor.created_at},
                "pipeline": facts.context,
                "team": facts.team.as_context(),
                "now": self.now,
                "subject": subject,
            }
        )
        if subject is not None:
            context[str(subject["model"]).rpartition(".")[2]] = subject
            if loaded.program.alias:
                context[loaded.program.alias] = subject
        return context

    def patch_subject(self, update: Update) -> None:
        """Let later steps of this transaction see a planned change."""
        known = subject_types().get(update.model)
        data = self.subjects.get((known.content_type_id, update.pk)) if known else None
        if data is not None:
            data.update({name.removeprefix("custom."): value for name, value in update.values.items()})
