"""Going back: an old version's document is published again, as a new version."""

from datetime import datetime

from django.db import transaction

from pipelines.documents import apply_document
from pipelines.models import Pipeline, PipelineVersion
from pipelines.operations.checking import validate_document
from pipelines.operations.drafts import has_draft
from pipelines.operations.planning import Policy
from pipelines.operations.publishing import publish
from pipelines.operations.records import audit, change, lock
from pipelines.operations.refusals import InvalidDocument, Refused


def roll_back(
    *,
    pipeline: Pipeline,
    version: PipelineVersion,
    by: object = None,
    note: str = "",
    policy: Policy | None = None,
    now: datetime | None = None,
) -> PipelineVersion:
    """Make the rows say what a version said and publish them; changes that were never published are lost.

    Going back to the current version drops only these: nothing is published. `note` is a word about it for the history.
    Raises `InvalidDocument` when the document cannot be published any more, because a template is gone for example.
    """
    if version.pipeline_id != pipeline.pk:
        raise Refused("This version belongs to another pipeline.")
    if version.pk == pipeline.current_version_id and not has_draft(pipeline):
        raise Refused(f"Version {version.number} is the current one already.")
    problems = validate_document(version.document, pipeline.team)
    if any(problem.severity == "error" for problem in problems):
        raise InvalidDocument(problems)
    with transaction.atomic():
        lock(pipeline)
        if pipeline.status == Pipeline.Status.ARCHIVED:
            raise Refused("An archived pipeline cannot be changed: duplicate it instead.")
        apply_document(pipeline, version.document)
        change(pipeline, by)
        audit(pipeline, "roll_back", by, to=version.number)
        said = f"Back to version {version.number}{f': {note}' if note else ''}"
        # Who goes back is in a hurry: what the old version promised was checked when it was published.
        return publish(pipeline=pipeline, by=by, note=said, policy=policy, now=now, force=True)
