"""What a batch reads, a statement each; a store without a database answers the same questions from memory."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Case, Exists, F, Max, OuterRef, Q, Subquery, When

from contacts.models import Record
from crm.models import Member
from crm.suppression import suppressed
from pipelines.actions.base import AGAIN, ChildResult, Found, Search
from pipelines.engine.answers import answers_for
from pipelines.engine.cursor import Ancestor, Answer, Cursor, Family, Memory
from pipelines.engine.programs import BROKEN, LoadedProgram, PipelineFacts, pipeline_facts, pipelines_called, programs
from pipelines.engine.resources import TeamResources, load_resources
from pipelines.engine.store.searching import find, segments_by_key
from pipelines.managers import managers
from pipelines.models import EventWait, Pipeline, PipelineRun, StepCircuit, StepExecution
from pipelines.states import RunPhase, RunStatus
from pipelines.subjects import among, related, subject_type

REMEMBERED = ("trigger", "vars", "outputs", "locals")
# Runs that the engine moves when they are due: no effect of theirs is out, their pipeline and their step are open.
GOES = (
    Q(status__in=(RunStatus.PENDING, RunStatus.WAITING))
    & ~Q(pipeline__status=Pipeline.Status.PAUSED)
    & ~Exists(StepCircuit.objects.filter(step=OuterRef("step"), state__in=BROKEN))
)


class Reading:
    """Questions of a batch, answered by the database."""

    def pipeline_facts(self, pipeline_ids: Collection[int]) -> dict[int, PipelineFacts]:
        """What a batch must know of these pipelines."""
        return pipeline_facts(pipeline_ids)

    def broken_steps(self, pipeline_ids: Collection[int]) -> frozenset[int]:
        """Steps of these pipelines whose circuit is open or on trial."""
        rows = StepCircuit.objects.filter(step__pipeline_id__in=pipeline_ids, state__in=BROKEN)
        return frozenset(rows.values_list("pk", flat=True))

    def programs(self, version_ids: Collection[int]) -> dict[int, LoadedProgram]:
        """The compiled programs of these versions."""
        return programs(version_ids)

    def pipelines_called(self, wanted: Collection[tuple[int, str]]) -> dict[tuple[int, str], PipelineFacts]:
        """Pipelines by team and key, those that may run."""
        return pipelines_called(wanted)

    def ancestors(self, run_ids: Collection[int]) -> dict[int, Ancestor]:
        """Runs around others, with what they remember."""
        deadline = Case(
            # Nobody ends the blocks of a paused pipeline, so their time does not count while it is.
            When(pipeline__status=Pipeline.Status.PAUSED, then=None),
            When(status=RunStatus.WAITING, then=F("next_step_at")),
            # Who was woken keeps the deadline aside.
            When(status=RunStatus.PENDING, phase=RunPhase.RESUME, then=F("held_until")),
            default=None,
        )
        names = ("pk", "parent_id", "step_id", "created_at", *(f"context__{name}" for name in REMEMBERED))
        rows = PipelineRun.objects.filter(pk__in=among(run_ids)).annotate(deadline=deadline)
        found: dict[int, Ancestor] = {}
        for until, pk, parent_id, step_id, began, *kept in rows.values_list("deadline", *names):
            trigger, variables, outputs, names_ = (each or {} for each in kept)
            found[pk] = Ancestor(pk, parent_id, step_id, began, until, Memory(trigger, variables, outputs, names_))
        return found

    def due_before(self, deadlines: Mapping[int, datetime]) -> set[int]:
        """Of blocks with their deadlines, by run, those inside which something that can go was due before."""
        around, found = {run_id: run_id for run_id in deadlines}, set[int]()
        while around:
            open_ones = PipelineRun.objects.filter(parent_id__in=among(around), finished_at=None)
            rows = open_ones.values_list("pk", "parent_id", Case(When(GOES, then=F("next_step_at")), default=None))
            below = [(pk, around[parent_id], due) for pk, parent_id, due in rows]
            found |= {block for _, block, due in below if due is not None and due < deadlines[block]}
            around = {pk: block for pk, block, _ in below if block not in found}
        return found

    def families(self, visits: Mapping[int, int]) -> dict[int, Family]:
        """The children of these visits (run to seq), by slot."""
        rows = (
            PipelineRun.objects.filter(parent_id__in=among(visits))
            .order_by("slot", "pk")
            .values_list(
                "parent_id", "parent_seq", "parent__held_until",
                "pk", "slot", "status", "outcome", "reason", "created_at",
            )
        )  # fmt: skip
        found: dict[int, Family] = {}
        for parent_id, seq, deadline, *child in rows:
            if visits[parent_id] == seq:
                family = found.setdefault(parent_id, Family(deadline=deadline))
                family.children.append(_child(child))
        return found

    def failures(self, run_ids: Collection[int]) -> dict[int, tuple[str, str]]:
        """At which step these runs ended, by its key, and what the visit said that ended them; one statement."""
        event = StepExecution.Event
        # What stands beside a visit, as that it was one too many, is said where the visit itself went well.
        visits = StepExecution.objects.filter(
            run_id=OuterRef("pk"), seq=OuterRef("seq"), event__in=[event.FAILED, event.NOTE], error__isnull=False
        ).order_by("event", "-id")
        rows = PipelineRun.objects.filter(pk__in=among(run_ids)).annotate(said=Subquery(visits.values("error")[:1]))
        return {
            pk: (key or "", said or _end_in_words(status, reason))
            for pk, key, said, status, reason in rows.values_list("pk", "last_step__key", "said", "status", "reason")
        }

    def subjects(
        self,
        type_id: int,
        ids: Collection[int],
        *,
        relations: Collection[str] | None,
        moments: Collection[str] | None,
        fields: Collection[str] | None = None,
    ) -> Mapping[int, dict[str, Any]]:
        """Plain data of records by id."""
        return subject_type(type_id).load(ids, relations=relations, moments=moments, fields=fields)

    def related(self, relation: str, ids: Collection[int]) -> Mapping[int, dict[str, Any]]:
        """What subjects hold of the records that they are related to so, by id."""
        return related(relation, ids)

    def managers(self, pairs: Collection[tuple[int, int]]) -> dict[tuple[int, int], dict[str, Any]]:
        """The managers of these members by (team, user), as owners hold them."""
        return managers(pairs)

    def resources(
        self,
        team_id: int,
        template_keys: Collection[str],
        *,
        record_types: bool = False,
        fields_of: Collection[str] = (),
    ) -> TeamResources:
        """What steps of a team read by key, and the fields it defines for these models."""
        return load_resources(
            team_id=team_id, template_keys=template_keys, record_types=record_types, fields_of=fields_of
        )

    def search(self, search: Search) -> Found:
        """The records that a step looks for, in one statement."""
        return find(search)

    def own_records(self, ids: Collection[int]) -> set[tuple[int, int, int]]:
        """(team, type, id) of these records of own types."""
        return set(Record.objects.filter(pk__in=ids).values_list("team_id", "type_id", "pk"))

    def segments(self, keys: Collection[tuple[int, str]]) -> dict[tuple[int, str], int]:
        """Ids of the segments with these keys, by (team, key)."""
        return segments_by_key(keys)

    def answers(self, cursors: Sequence[Cursor]) -> dict[int, Answer]:
        """What came back for visits that waited."""
        return answers_for(cursors)

    def cut_short(self, run_ids: Collection[int]) -> dict[tuple[int, int, str], datetime]:
        """Since when these runs waited, by run, number and event, who were called off and ended no visit since."""
        ended = StepExecution.objects.filter(run_id=OuterRef("run_id"), seq__gte=OuterRef("seq"), outcome__isnull=False)
        rows = EventWait.objects.filter(~Exists(ended), run_id__in=among(run_ids), status=EventWait.Status.CANCELLED)
        found = rows.order_by("-since").values_list("run_id", "n", "event", "since")
        return {(run_id, n, event): since for run_id, n, event, since in found}

    def last_ends(self, run_ids: Sequence[int]) -> dict[int, datetime]:
        """When the last visit ended from which a delay counts; runs that ended none are missing."""
        event = StepExecution.Event
        rows = StepExecution.objects.filter(run_id__in=run_ids)
        ended = rows.exclude(event__in=[event.MOVED, event.NOTE, event.RETRIED, event.WAITING]).order_by()
        return dict(ended.values_list("run_id").annotate(at=Max("finished_at")))

    def suppressed(self, *, team_id: int, addresses: Collection[str], topic: str) -> dict[str, str]:
        """The reason by lower-case address, for those who may not get mail of a topic."""
        return suppressed(team_id=team_id, addresses=addresses, topic=topic)

    def members(self, team_ids: Collection[int]) -> list[tuple[int, int, str, str]]:
        """(team, user, address, role) of the active members of teams, the oldest first."""
        rows = Member.objects.filter(team_id__in=team_ids, user__is_active=True).order_by("pk")
        return list(rows.values_list("team_id", "user_id", "user__email", "role"))

    def groups(self, team_ids: Collection[int]) -> list[tuple[int, int, frozenset[str]]]:
        """(team, user, role and groups in lower case) of the active members of teams, the oldest first."""
        rows = Member.objects.filter(team_id__in=team_ids, user__is_active=True).order_by("pk")
        return [
            (team, user, frozenset(str(name).lower() for name in (role, *groups)))
            for team, user, role, groups in rows.values_list("team_id", "user_id", "role", "groups")
        ]

    def in_team(self, model: Any, ids: Sequence[int]) -> set[tuple[int, int]]:
        """(team, id) of these rows; people belong to the teams they are members of."""
        if model._meta.label_lower == "auth.user":
            return set(Member.objects.filter(user_id__in=ids).values_list("team_id", "user_id"))
        return set(model._default_manager.filter(pk__in=ids).values_list("team_id", "pk"))


def _end_in_words(status: int, reason: str | None) -> str:
    """Of a run that ended without a word in its log: its reason, where that says more than that it ended."""
    if not reason or reason in ("error", RunStatus(status).name.lower()):
        return ""
    return f"{reason.replace('_', ' ').removesuffix('.')}."


def _child(row: Sequence[Any]) -> ChildResult:
    pk, slot, status, outcome, reason, began = row
    return ChildResult(pk, slot, RunStatus(status).name.lower(), outcome, reason, began, again=reason == AGAIN)
