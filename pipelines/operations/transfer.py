"""Documents in and out: import, export and duplicate."""

from collections.abc import Collection, Mapping
from typing import Any

from django.db import IntegrityError, transaction

from crm.models import Team
from pipelines.definition.document import dumps
from pipelines.documents import apply_document, document_of
from pipelines.models import Pipeline
from pipelines.operations.checking import validate_document
from pipelines.operations.code_steps import check_code, code_in
from pipelines.operations.drafts import publishes_by_saving, settle_auto_publish
from pipelines.operations.gates import Asked, ask_ahead
from pipelines.operations.lifecycle import activate as activate_pipeline
from pipelines.operations.planning import Policy
from pipelines.operations.publishing import publish
from pipelines.operations.records import audit, change, lock, user_of
from pipelines.operations.refusals import InvalidDocument, PipelineExists, Refused

LONGEST_KEY = 40


def import_document(
    *,
    team: Team,
    document: Mapping[str, Any],
    by: object = None,
    activate: bool = False,
    replace: bool = True,
    force: bool = False,
    policy: Policy | None = None,
    note: str = "",
    publishes: bool = False,
    draft: bool = False,
    beside: Collection[str] = (),
) -> Pipeline:
    """Create the team's pipeline of that key, or bring it up to the document.

    A line of steps that is in use is published at once; blocks only when it `publishes` or is activated, see
    `update_document`; a `draft` never. `force` publishes what does not do what it promises, too. `beside` names
    pipelines that come into the team in the same transaction.
    """
    problems = validate_document(document, team, beside=beside)
    if any(problem.severity == "error" for problem in problems):
        raise InvalidDocument(problems)
    known = _existing(team, document["key"], replace)
    asked = None
    publishes = publishes or activate
    if not (force or draft) and (publishes or (known is not None and publishes_by_saving(known, document))):
        asked = ask_ahead(pipeline=known or Pipeline(team=team), document=document)
    with transaction.atomic():
        pipeline = known or _created(team, document, by)
        update_document(
            pipeline=pipeline,
            document=document,
            by=by,
            action="import",
            checked=True,
            force=force,
            policy=policy,
            note=note,
            asked=asked,
            publishes=publishes,
            draft=draft,
        )
        if activate:
            activate_pipeline(pipeline=pipeline, by=by, force=force, asked=asked)
    return pipeline


def update_document(
    *,
    pipeline: Pipeline,
    document: Mapping[str, Any],
    by: object = None,
    action: str = "change",
    checked: bool = False,
    force: bool = False,
    policy: Policy | None = None,
    note: str = "",
    asked: Asked | None = None,
    publishes: bool = False,
    draft: bool = False,
) -> None:
    """Replace the definition of one pipeline.

    A line of steps that is in use is published at once; what holds blocks stays a draft beside the version that runs,
    unless it `publishes`, or somebody ticked that its saves are published. A `draft` is not published in any case.
    """
    problems = [] if checked else validate_document(document, pipeline.team)
    if any(problem.severity == "error" for problem in problems):
        raise InvalidDocument(problems)
    if asked is None and not (force or draft) and (publishes or publishes_by_saving(pipeline, document)):
        asked = ask_ahead(pipeline=pipeline, document=document)
    with transaction.atomic():
        lock(pipeline)
        if pipeline.status == Pipeline.Status.ARCHIVED:
            raise Refused("An archived pipeline cannot be changed: duplicate it instead.")
        known = document_of(pipeline) if pipeline.steps.exists() else None
        before = code_in(known) if known is not None else frozenset()
        check_code(team=pipeline.team, by=by, before=before, after=code_in(document))
        settle_auto_publish(pipeline, before=known, after=document)
        _apply(pipeline, document)
        change(pipeline, by)
        audit(pipeline, action, by, steps=len(document["steps"]))
        if not draft and (publishes or (pipeline.auto_publish and pipeline.current_version_id is not None)):
            publish(pipeline=pipeline, by=by, force=force, policy=policy, note=note, asked=asked)


def export_document(*, pipeline: Pipeline) -> str:
    """The canonical document as text, equal byte for byte for equal pipelines."""
    return dumps(document_of(pipeline))


def duplicate(*, pipeline: Pipeline, by: object = None, key: str = "") -> Pipeline:
    """A draft with the same definition under a new key; its triggers wait for activation."""
    document = document_of(pipeline)
    document["key"] = key or _free_key(pipeline)
    document["name"] = f"Copy of {pipeline.name}"[:200]
    # A copy is code in a place where nobody has looked at it.
    check_code(team=pipeline.team, by=by, before=frozenset(), after=code_in(document))
    with transaction.atomic():
        copy = _created(pipeline.team, document, by)
        Pipeline.objects.filter(pk=copy.pk).update(auto_publish=pipeline.auto_publish)
        _apply(copy, document)
        audit(copy, "duplicate", by, source=pipeline.key)
    return copy


def _existing(team: Team, key: str, replace: bool) -> Pipeline | None:
    found = Pipeline.objects.for_team(team).filter(key=key).first()
    if found is not None and not replace:
        raise PipelineExists(f"The team already has a pipeline '{key}': give another key.")
    return found


def _created(team: Team, document: Mapping[str, Any], by: object) -> Pipeline:
    user = user_of(by)
    try:
        with transaction.atomic():
            return Pipeline.objects.create(
                team=team,
                key=document["key"],
                name=document["name"],
                created_by=user,
                updated_by=user,
            )
    except IntegrityError:
        key = document["key"]
        raise PipelineExists(f"The team already has a pipeline '{key}': give another key.") from None


def _apply(pipeline: Pipeline, document: Mapping[str, Any]) -> None:
    try:
        with transaction.atomic():
            apply_document(pipeline, document)
    except IntegrityError as error:
        if "pipeline_key_once_per_team" not in str(error) and "team_id" not in str(error):
            raise
        key = document["key"]
        raise PipelineExists(f"The team already has a pipeline '{key}': give another key.") from None


def _free_key(pipeline: Pipeline) -> str:
    taken = set(Pipeline.objects.for_team(pipeline.team).values_list("key", flat=True))
    number = 1
    while True:
        ending = "_copy" if number == 1 else f"_copy_{number}"
        key = pipeline.key[: LONGEST_KEY - len(ending)] + ending
        if key not in taken:
            return key
        number += 1
