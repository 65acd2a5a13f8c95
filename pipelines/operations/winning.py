"""Ends a test: from now on everybody who comes to a split gets one variant. And opens it again."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from pipelines.chosen import chosen_variants
from pipelines.definition.document import checksum
from pipelines.documents import document_of
from pipelines.models import Pipeline, PipelineStep, PipelineVersion
from pipelines.operations.publishing import publish
from pipelines.operations.records import audit
from pipelines.operations.refusals import Refused


def choose_winner(*, pipeline: Pipeline, step: str, variant: str, by: object = None) -> PipelineVersion:
    """Give all the weight of a split to one variant, and publish that; runs that drew before stay where they are.

    Raises `Refused` for what is no split or no variant of it.
    """
    with transaction.atomic():
        row = _split(pipeline, step)
        variants = list(row.data.get("variants", []))
        if not any(each["name"] == variant for each in variants):
            raise Refused(f"“{step}” has no variant “{variant[:40]}”.")
        weighted = [{**each, "weight": 1 if each["name"] == variant else 0} for each in variants]
        # Where the holdout led stays written, for `on` names it; nobody is held out any more.
        row.data = {**row.data, "variants": weighted} | ({"holdout": 0} if "holdout" in row.data else {})
        row.save(update_fields=["data"])
        audit(pipeline, "choose_winner", by, step=step, variant=variant)
        return publish(pipeline=pipeline, by=by, note=f"{variant} won at {step}")


def reopen_test(*, pipeline: Pipeline, step: str, by: object = None) -> PipelineVersion:
    """Draw again at a split as before its winner was chosen, and publish that; who got the winner stays there.

    Raises `Refused` where nothing was chosen, or where the pipeline never drew.
    """
    with transaction.atomic():
        row = _split(pipeline, step)
        chosen = chosen_variants(pipeline=pipeline, splits=[row]).get(step)
        if chosen is None or chosen.before is None:
            raise Refused(f"No winner was chosen at “{step}” that could be taken back.")
        row.data = _as_before(row.data, chosen.before)
        row.save(update_fields=["data"])
        audit(pipeline, "reopen_test", by, step=step, variant=chosen.variant)
        return publish(pipeline=pipeline, by=by, note=f"The test at {step} goes on")


def _split(pipeline: Pipeline, step: str) -> PipelineStep:
    if pipeline.current_version is None or checksum(document_of(pipeline)) != pipeline.current_version.checksum:
        raise Refused("The pipeline has changes that are not published: publish them first.")
    row = pipeline.steps.select_for_update().filter(key=step, action_type="split", archived_at=None).first()
    if row is None:
        raise Refused(f"There is no split “{step[:40]}” in this pipeline.")
    return row


def _as_before(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The variants there are now with the weights they had, and the holdout there was."""
    had = {each["name"]: each for each in before["variants"]}
    variants = [
        {
            **{name: value for name, value in each.items() if name != "weight"},
            **{name: value for name, value in had.get(each["name"], {}).items() if name == "weight"},
        }
        for each in now["variants"]
    ]
    holdout = {"holdout": before["holdout"]} if "holdout" in before else {}
    return {**{name: value for name, value in now.items() if name != "holdout"}, "variants": variants, **holdout}
