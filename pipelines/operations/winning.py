"""Ends a test: from now on everybody who comes to a split gets one variant."""

from django.db import transaction

from pipelines.definition.document import checksum
from pipelines.documents import document_of
from pipelines.models import Pipeline, PipelineVersion
from pipelines.operations.publishing import publish
from pipelines.operations.refusals import Refused


def choose_winner(*, pipeline: Pipeline, step: str, variant: str, by: object = None) -> PipelineVersion:
    """Give all the weight of a split to one variant, and publish that; runs that drew before stay where they are.

    Raises `Refused` for what is no split or no variant of it.
    """
    with transaction.atomic():
        if pipeline.current_version is None or checksum(document_of(pipeline)) != pipeline.current_version.checksum:
            raise Refused("The pipeline has changes that are not published: publish them first.")
        row = pipeline.steps.select_for_update().filter(key=step, action_type="split", archived_at=None).first()
        if row is None:
            raise Refused(f"There is no split “{step[:40]}” in this pipeline.")
        variants = list(row.data.get("variants", []))
        if not any(each["name"] == variant for each in variants):
            raise Refused(f"“{step}” has no variant “{variant[:40]}”.")
        weighted = [{**each, "weight": 1 if each["name"] == variant else 0} for each in variants]
        # Where the holdout led stays written, for `on` names it; nobody is held out any more.
        row.data = {**row.data, "variants": weighted} | ({"holdout": 0} if "holdout" in row.data else {})
        row.save(update_fields=["data"])
        return publish(pipeline=pipeline, by=by, note=f"{variant} won at {step}")
