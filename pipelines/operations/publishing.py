"""Publishing: an immutable version is made from the rows, and runs follow it."""

from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import F, Max
from django.db.models.functions import Greatest

from pipelines.actions.registry import kinds
from pipelines.definition.document import checksum
from pipelines.definition.layout import every_place
from pipelines.definition.program import compile_program
from pipelines.definition.structuring import structured
from pipelines.definition.zoned import zone_in
from pipelines.documents import document_of
from pipelines.engine.circuits import after_publishing
from pipelines.engine.clock import engine_now
from pipelines.engine.schedules import fire_due
from pipelines.models import Pipeline, PipelineRun, PipelineStep, PipelineVersion
from pipelines.operations.checking import validate_document
from pipelines.operations.code_steps import check_code, code_in
from pipelines.operations.following import follow
from pipelines.operations.gates import Asked, ask_ahead
from pipelines.operations.planning import Policy, default_policy
from pipelines.operations.records import arm_triggers, audit, change, lock, plan_by_the_new_zone, user_of
from pipelines.operations.refusals import InvalidDocument, PipelineChanged, Refused
from pipelines.step_rows import identities, name_steps

ARCHIVED: Final = "An archived pipeline cannot be published: duplicate it instead."


def publish(
    *,
    pipeline: Pipeline,
    by: object = None,
    note: str = "",
    policy: Policy | None = None,
    now: datetime | None = None,
    force: bool = False,
    asked: Asked | None = None,
) -> PipelineVersion:
    """Make the rows the current version, in one transaction; unchanged rows keep the version.

    `policy` says what becomes of the runs on their way; without one the pipeline's settings decide.
    Raises `InvalidDocument` with every problem when the rows cannot be published, or when what the document
    promises (`meta.expect`) does not come true; `force` publishes in spite of that. Promises are played before the
    pipeline is locked, and `PipelineChanged` is raised when it changed meanwhile; who holds the lock already has
    asked before and hands in what was `asked`.
    """
    moment = now or engine_now()
    ahead = asked if asked is not None or force else _ask(pipeline)
    with transaction.atomic():
        lock(pipeline)
        if pipeline.status == Pipeline.Status.ARCHIVED:
            raise Refused(ARCHIVED)
        _freeze_keys(pipeline)
        document = document_of(pipeline)
        problems = validate_document(document, pipeline.team)
        if any(problem.severity == "error" for problem in problems):
            raise InvalidDocument(problems)
        digest = checksum(document)
        current = pipeline.current_version
        if current is not None and current.checksum == digest:
            return current
        if not force and ahead is not None:
            _heed(ahead, digest, handed_in=asked is not None)
        policy = policy or default_policy(pipeline)
        published = code_in(current.document) if current is not None else frozenset()
        check_code(team=pipeline.team, by=by, before=published, after=code_in(document))
        version = _new_version(pipeline, document=document, digest=digest, by=by, note=note, policy=policy)
        another_zone = current is not None and zone_in(current.document) != zone_in(document)
        if another_zone:
            # What is due by the old clock is due.
            fire_due(now=moment, pipeline=pipeline)
        change(pipeline, by, current_version=version)
        if "max_executions" in document.get("settings", {}):
            _count_those_inside(pipeline)
        if pipeline.status == Pipeline.Status.ACTIVE:
            arm_triggers(pipeline)
            if another_zone:
                plan_by_the_new_zone(pipeline)
        after_publishing(pipeline=pipeline, now=moment)
        moved = follow(pipeline=pipeline, version=version, policy=policy, now=moment)
        audit(pipeline, "publish", by, version=version.number, policy=policy, **moved.as_details())
    return version


def _ask(pipeline: Pipeline) -> Asked:
    """Rows without a key get theirs first, for the document is told apart by them."""
    with transaction.atomic():
        lock(pipeline)
        if pipeline.status == Pipeline.Status.ARCHIVED:
            raise Refused(ARCHIVED)
        _freeze_keys(pipeline)
    return ask_ahead(pipeline=pipeline, document=document_of(pipeline))


def _heed(asked: Asked, digest: str, *, handed_in: bool) -> None:
    """Refuse what was objected to; who hands in an answer wrote these rows, so they differ by the names of steps alone.

    Steps that the document left without a name got the same ones where its promises were played.
    """
    if asked.digest != digest and not handed_in:
        raise PipelineChanged()
    if asked.problems:
        raise InvalidDocument(list(asked.problems))


def _count_those_inside(pipeline: Pipeline) -> None:
    """A limit counts everybody who ever entered; where there is none, nobody pays for counting."""
    entered = PipelineRun.objects.came_in().filter(pipeline=pipeline).count()
    Pipeline.objects.filter(pk=pipeline.pk).update(enrolled_total=Greatest(F("enrolled_total"), entered))


def _freeze_keys(pipeline: Pipeline) -> None:
    unnamed = list(pipeline.steps.filter(key="").order_by("number"))
    if unnamed:
        taken = set(pipeline.steps.exclude(key="").values_list("key", flat=True))
        name_steps(unnamed, taken=taken)
        PipelineStep.objects.bulk_update(unnamed, ["key"])


def _new_version(
    pipeline: Pipeline, *, document: dict[str, object], digest: str, by: object, note: str, policy: Policy
) -> PipelineVersion:
    built = structured(document, kinds=kinds())
    named = {place.key: str(place.step.get("name", "")) for place in every_place(built)}
    last = pipeline.versions.aggregate(last=Max("number"))["last"] or 0
    return PipelineVersion.objects.create(
        pipeline=pipeline,
        number=last + 1,
        document=document,
        program=compile_program(built, step_ids=identities(pipeline, named)),
        checksum=digest,
        note=note[:400],
        runs_policy=PipelineVersion.RunsPolicy[policy.upper()],
        published_by=user_of(by),
    )
