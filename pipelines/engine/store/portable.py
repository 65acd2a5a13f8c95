"""The store in Django's ORM and plain SQL that SQLite and PostgreSQL both run."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, models
from django.db.models import Count, F, Min, Q

from contacts.models import Segment, SegmentChange, SegmentMembership
from contacts.segments import change_members
from pipelines.actions.base import TERMINATE
from pipelines.engine.changes import announce
from pipelines.engine.cursor import COLUMNS, MOVED, Cursor, InsertedRun, Memory, NewRun, Visit
from pipelines.engine.ending import end_runs
from pipelines.engine.store.columns import NEW_CHILD, NEW_RUN
from pipelines.engine.store.entering import Entered, Newcomers
from pipelines.engine.store.leaving import Leaving
from pipelines.engine.store.reading import Reading
from pipelines.engine.store.stats import StatCell, merge_cells
from pipelines.engine.task_closing import close_tasks
from pipelines.models import Effect, EventWait, PipelineRun, RunContext, StepExecution, StepStat
from pipelines.states import RunPhase, RunStatus
from pipelines.subjects import among

# SQLite takes at most 32,766 parameters in one statement.
MAX_PARAMETERS = 30_000


class PortableStore(Reading, Leaving):
    """Every statement of the engine; subclasses replace the hot ones."""

    def due_lanes(self, *, now: datetime) -> list[tuple[int, datetime]]:
        """Steps with a due run and the oldest due time of each, oldest first."""
        lanes = (
            PipelineRun.objects.filter(next_step_at__lte=now)
            .values("step_id")
            .annotate(oldest=Min("next_step_at"))
            .order_by("oldest")
        )
        return [(lane["step_id"], lane["oldest"]) for lane in lanes if lane["step_id"] is not None]

    def horizon(self) -> tuple[int, int] | None:
        """The oldest transaction that still writes and the next one to come; None where writers queue up."""
        return None

    def claim_lane(self, *, step_id: int, now: datetime, limit: int, trial: bool = False) -> list[Cursor]:
        """Lock due runs of one step, on `trial` no tests; rows that another worker holds are passed over."""
        due = self._lockable(real=trial).filter(step_id=step_id, next_step_at__lte=now).order_by("next_step_at")
        return [Cursor(*row) for row in due.values_list(*COLUMNS)[:limit]]

    def claim_runs(self, *, run_ids: Sequence[int]) -> list[Cursor]:
        """Lock these runs, the youngest first as everywhere, waiting for whoever holds them."""
        runs = PipelineRun.objects.filter(pk__in=among(run_ids)).order_by("-pk")
        if connection.vendor == "postgresql":
            runs = runs.select_for_update()
        return [Cursor(*row) for row in runs.values_list(*COLUMNS)]

    def _lockable(self, *, real: bool) -> models.QuerySet[PipelineRun]:
        runs = PipelineRun.objects.real() if real else PipelineRun.objects.all()
        return runs.select_for_update(skip_locked=True) if connection.vendor == "postgresql" else runs

    def move_runs(self, cursors: Sequence[Cursor]) -> None:
        """Write where each run goes next, and how many children it waits for if that has changed."""
        fields: list[Any] = [PipelineRun._meta.get_field(name) for name in MOVED]
        quote = connection.ops.quote_name
        assigned = ", ".join(f"{quote(str(field.column))} = %s" for field in fields)
        counted = ", ".join(f"{quote(name)} = COALESCE(%s, {quote(name)})" for name in ("open_children", "wake_at"))
        values = [
            [
                *(field.get_db_prep_save(getattr(cursor, str(field.attname)), connection) for field in fields),
                *(cursor.counts or (None, None)),
                cursor.id,
            ]
            for cursor in cursors
        ]
        table = quote(PipelineRun._meta.db_table)
        with connection.cursor() as cursor_of_database:
            # Many short updates in one call: a single one of cases grows with the square of the batch.
            cursor_of_database.executemany(
                f"UPDATE {table} SET {assigned}, {counted} WHERE id = %s",  # noqa: S608 - names only
                values,
            )

    def insert_runs(self, rows: Sequence[NewRun]) -> list[InsertedRun]:
        """Insert runs that no unique key refuses, of equal keys the first; each inserted one."""
        inserted: list[Any] = []
        for chunk in _chunks(rows, MAX_PARAMETERS // len(NEW_RUN)):
            inserted += self._insert_returning(chunk, NEW_RUN, "id, pipeline_id, subject_id, dedup")
        return [(*row, _key(dedup)) for *row, dedup in inserted]

    def insert_children(self, rows: Sequence[NewRun]) -> dict[tuple[int | None, int], int]:
        """Insert child runs; the id of each by parent and slot."""
        inserted: list[tuple[int, int | None, int]] = []
        for chunk in _chunks(rows, MAX_PARAMETERS // len(NEW_CHILD)):
            inserted += self._insert_returning(chunk, NEW_CHILD, "id, parent_id, slot")
        return {(parent_id, slot): pk for pk, parent_id, slot in inserted}

    def _insert_returning(self, rows: Sequence[NewRun], names: Sequence[str], returned: str) -> list[Any]:
        fields: list[Any] = [PipelineRun._meta.get_field(name) for name in names]
        quote = connection.ops.quote_name
        columns = ", ".join(quote(str(field.column)) for field in fields)
        one = f"({', '.join(['%s'] * len(fields))})"
        values = [
            field.get_db_prep_save(getattr(row, str(field.attname)), connection) for row in rows for field in fields
        ]
        table = quote(PipelineRun._meta.db_table)
        statement = (
            f"INSERT INTO {table} ({columns}) VALUES {', '.join([one] * len(rows))} "  # noqa: S608 - names only
            f"ON CONFLICT DO NOTHING RETURNING {returned}"
        )
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def enter(self, newcomers: Newcomers) -> Entered | None:
        """Ask which ways are open and take everybody in at once; None where that cannot be done in one go."""
        return None

    def close_visits(
        self,
        cursors: Sequence[Cursor],
        visits: Sequence[Visit],
        cells: Sequence[StatCell],
        *,
        at: datetime,
        batch: uuid.UUID,
    ) -> None:
        """Move runs, append their visits to the log and count them; the visits of tests have no cells."""
        self.move_runs(cursors)
        if visits:
            self.insert_visits(visits, at=at, batch=batch)
            if cells:
                self.add_stats(cells)

    def insert_visits(self, visits: Sequence[Visit], *, at: datetime, batch: uuid.UUID) -> None:
        """Append to the log."""
        StepExecution.objects.bulk_create(
            [
                StepExecution(
                    at=at,
                    batch=batch,
                    **{name: getattr(visit, name) for name in Visit.__slots__},
                )
                for visit in visits
            ],
            batch_size=1000,
        )

    def add_stats(self, cells: Sequence[StatCell]) -> None:
        """Add counts to the cells of (step, day, slot, outcome)."""
        keys = {cell.key for cell in cells}
        known = {
            (stat.step_id, stat.day, stat.slot, stat.outcome): stat
            for stat in StepStat.objects.filter(
                step_id__in={key[0] for key in keys}, day__in={key[1] for key in keys}, slot=cells[0].slot
            )
        }
        fresh, changed = merge_cells(cells, known)
        StepStat.objects.bulk_create(fresh)
        StepStat.objects.bulk_update(changed, ["n", "work_ms", "wait_s", "hist"])

    def insert_effects(self, effects: Sequence[Effect]) -> None:
        """Queue effects; a visit that already has its effect keeps it."""
        Effect.objects.bulk_create(effects, ignore_conflicts=True, batch_size=1000)

    def insert_waits(self, waits: Sequence[EventWait]) -> None:
        """Keep what visits wait for; a visit that already waits keeps its rows."""
        EventWait.objects.bulk_create(waits, ignore_conflicts=True, batch_size=1000)

    def release_waits(self, visits: Sequence[tuple[int, int]], *, now: datetime) -> None:
        """Close what is still open of visits (run, seq) that go on: the first answer wins."""
        seqs = dict(visits)
        rows = EventWait.objects.filter(run_id__in=among(seqs), status=EventWait.Status.OPEN)
        over = [pk for pk, run_id, seq in rows.values_list("pk", "run_id", "seq") if seq <= seqs[run_id]]
        if over:
            EventWait.objects.filter(pk__in=over).update(status=EventWait.Status.CANCELLED, finished_at=now)
        close_tasks(now=now, visits=visits)

    def count_down(self, run_ids: Sequence[int], *, now: datetime) -> None:
        """Count ended children at their parents, in the visit that opened them, and wake whom it is enough for."""
        ended = (
            PipelineRun.objects.filter(pk__in=among(run_ids))
            .order_by()
            .values("parent_id", "parent_seq")
            .annotate(n=Count("pk"), bad=Count("pk", filter=Q(status=RunStatus.FAILED) | Q(outcome=TERMINATE)))
        )
        counts = {(row["parent_id"], row["parent_seq"]): (row["n"], row["bad"]) for row in ended}
        parents = PipelineRun.objects.filter(
            pk__in={parent_id for parent_id, _ in counts}, finished_at=None, open_children__gt=0
        ).order_by("-pk")
        if connection.vendor == "postgresql":
            parents = parents.select_for_update()
        changed = [run for run in parents if _counted(run, counts.get((run.pk, run.seq)), now)]
        names = ("open_children", "phase", "status", "next_step_at", "held_until")
        if changed:
            self.update_rows(PipelineRun, names, [(run.pk, tuple(getattr(run, n) for n in names)) for run in changed])

    def lock_descendants(self, families: Mapping[int, Sequence[int]]) -> tuple[list[int], set[int]]:
        """Lock children and all below them; the ids, and the parents of which another worker holds one just now."""
        top = {pk: parent_id for parent_id, ids in families.items() for pk in ids}
        level, busy = dict(top), set[int]()
        while level:
            rows = PipelineRun.objects.filter(pk__in=among(level), finished_at=None).order_by("-pk")
            if connection.vendor == "postgresql":
                rows = rows.select_for_update(skip_locked=True)
            held = set(rows.values_list("pk", flat=True))
            busy |= {parent_id for pk, parent_id in level.items() if pk not in held}
            below = PipelineRun.objects.filter(parent_id__in=among(held), finished_at=None)
            level = {pk: level[parent_id] for pk, parent_id in below.values_list("pk", "parent_id")} if held else {}
            top.update(level)
        return [pk for pk, parent_id in top.items() if parent_id not in busy], busy

    def end_runs(self, run_ids: Sequence[int], *, reason: str, now: datetime) -> None:
        """Cancel locked runs and what they wait for."""
        end_runs(run_ids, reason=reason, now=now)

    def announce(self, **told: Any) -> None:
        """Tell those who listen that these records have changed."""
        announce(**told)

    def note_answered(self, run_ids: Sequence[int]) -> None:
        """Paused runs whose answer has come: they read it when an operator lets them go on."""
        if run_ids:
            PipelineRun.objects.filter(pk__in=run_ids).update(phase=RunPhase.RESUME.value)

    def create_rows(self, model: type[models.Model], rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Insert new rows, given by their column values; the id of each."""
        made = model._default_manager.bulk_create([model(**row) for row in rows], batch_size=1000)
        return [row.pk for row in made]

    def load_memories(self, run_ids: Sequence[int]) -> dict[int, Memory]:
        rows = RunContext.objects.filter(run_id__in=among(run_ids)).values_list(
            "run_id", "trigger", "vars", "outputs", "locals"
        )
        return {run_id: Memory(*kept) for run_id, *kept in rows}

    def insert_memories(self, rows: Sequence[tuple[int, Any, Any]]) -> None:
        """What new runs begin with: (run, payload of the trigger, variables)."""
        RunContext.objects.bulk_create(
            [RunContext(run_id=run_id, trigger=payload, vars=variables) for run_id, payload, variables in rows],
            batch_size=1000,
        )

    def save_memories(self, memories: Iterable[tuple[int, Memory]]) -> None:
        RunContext.objects.bulk_create(
            [
                RunContext(
                    run_id=run_id,
                    trigger=memory.trigger,
                    vars=memory.vars,
                    outputs=memory.outputs,
                    locals=memory.locals,
                )
                for run_id, memory in memories
            ],
            update_conflicts=True,
            unique_fields=["run"],
            update_fields=["trigger", "vars", "outputs", "locals"],
            batch_size=1000,
        )

    def update_rows(
        self,
        model: type[models.Model],
        fields: tuple[str, ...],
        rows: Sequence[tuple[int, tuple[Any, ...]]],
        *,
        returning: tuple[str, ...] = (),
    ) -> list[tuple[Any, ...]]:
        """Set the same fields of many rows, each to its own values; the columns `returning` of each afterwards."""
        first = rows[0][1]
        found = model._default_manager.filter(pk__in=[pk for pk, _ in rows])
        if all(values == first for _, values in rows):
            found.update(**dict(zip(fields, first, strict=True)))
        else:
            objects = [model(pk=pk, **dict(zip(fields, values, strict=True))) for pk, values in rows]
            model._default_manager.bulk_update(objects, list(fields), batch_size=500)
        return list(found.values_list(*returning)) if returning else []

    def merge_values(
        self, model: type[models.Model], rows: Sequence[tuple[int, Mapping[str, Any]]], *, column: str = "custom"
    ) -> None:
        """Add keys to an object of values of many rows."""
        wanted = dict(rows)
        objects = list(model._default_manager.filter(pk__in=wanted).only("pk", column))
        for row in objects:
            setattr(row, column, {**getattr(row, column), **wanted[row.pk]})
        model._default_manager.bulk_update(objects, [column], batch_size=500)

    def make_segments(self, segments: Sequence[Segment]) -> None:
        """Insert segments; keys that the team has already stay as they are."""
        Segment.objects.bulk_create(segments, ignore_conflicts=True)

    def change_members(self, added: Sequence[SegmentMembership], removed: Collection[tuple[int, int, int]]) -> None:
        """Put records into segments and take others out, given as (segment, kind of record, id)."""
        change_members(added=added, removed=removed)

    def note_cause(self, contacts: Collection[int], *, depth: int, origin: int | None) -> None:
        """Say of contacts that just changed that a step did it, for those who look at them later."""
        SegmentChange.objects.filter(contact_id__in=among(contacts), depth=0).update(depth=depth, origin_id=origin)

    def lease_effects(
        self, *, kind: int, now: datetime, real_now: datetime, until: datetime, limit: int, worker: int
    ) -> list[Effect]:
        """Take queued effects; the attempt number is the fencing token of the lease."""
        queued = Effect.objects.filter(kind=kind, status=Effect.Status.QUEUED, available_at__lte=now)
        if connection.vendor == "postgresql":
            queued = queued.select_for_update(skip_locked=True)
        effects = list(queued.order_by("available_at")[:limit])
        Effect.objects.filter(pk__in=[effect.pk for effect in effects]).update(
            status=Effect.Status.LEASED, lease_until=until, attempt=F("attempt") + 1, worker=worker
        )
        for effect in effects:
            effect.status, effect.lease_until, effect.attempt = Effect.Status.LEASED, until, effect.attempt + 1
        return effects


def _counted(run: PipelineRun, ended: tuple[int, int] | None, now: datetime) -> bool:
    """Count the ended children at their parent; False when they are of an earlier visit."""
    if ended is None:
        return False
    count, bad = ended
    run.open_children = max(0, run.open_children - count)
    if bad or run.open_children <= run.wake_at:
        run.phase = run.phase if run.phase == RunPhase.REPEAT else RunPhase.RESUME.value
        if run.status == RunStatus.WAITING:
            run.held_until, run.next_step_at, run.status = run.next_step_at, now, RunStatus.PENDING.value
    return True


def _key(column: Any) -> uuid.UUID | None:
    """SQLite keeps keys as texts."""
    return uuid.UUID(column) if isinstance(column, str) else column


def _chunks(rows: Sequence[NewRun], size: int) -> Iterable[Sequence[NewRun]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
