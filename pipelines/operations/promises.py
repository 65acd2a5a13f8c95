"""What a pipeline promises, written one promise at a time into the definition that is edited now."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from pipelines.documents import document_of
from pipelines.models import Pipeline
from pipelines.operations.checking import validate_document
from pipelines.operations.records import audit, change, lock
from pipelines.operations.refusals import InvalidDocument, Refused


def promising(document: Mapping[str, Any], promises: Sequence[Any]) -> dict[str, Any]:
    """The document with these promises in place of its own."""
    rest = {name: value for name, value in (document.get("meta") or {}).items() if name != "expect"}
    meta = {**rest, "expect": list(promises)} if promises else rest
    return {**document, "meta": meta}


def write_promises(
    *, pipeline: Pipeline, promises: Sequence[Any], by: object, action: str, name: str, checked: bool = False
) -> None:
    """Replace the promises of the rows; nothing is published, so runs and the current version stay as they are.

    Raises `InvalidDocument` with every problem of the document that they would stand in, unless it is `checked`, and
    `PipelineChanged` when somebody else was faster.
    """
    document = promising(document_of(pipeline), promises)
    problems = [] if checked else validate_document(document, pipeline.team)
    if any(problem.severity == "error" for problem in problems):
        raise InvalidDocument(problems)
    with transaction.atomic():
        lock(pipeline)
        if pipeline.status == Pipeline.Status.ARCHIVED:
            raise Refused("An archived pipeline cannot be changed: duplicate it instead.")
        pipeline.meta = document["meta"]
        pipeline.save(update_fields=["meta", "updated_at"])
        change(pipeline, by)
        audit(pipeline, action, by, promise=name[:200], promises=len(promises))
