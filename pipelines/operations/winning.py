"""Ends a test: from now on everybody who comes to a split gets one variant. And opens it again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from pipelines.chosen import MOST_VERSIONS, chosen_variants
from pipelines.definition.layout import every_place
from pipelines.documents import document_of
from pipelines.models import Pipeline, PipelineStep, PipelineVersion
from pipelines.operations.drafts import is_unpublished
from pipelines.operations.gates import Asked, ask_ahead
from pipelines.operations.publishing import publish
from pipelines.operations.records import audit, lock
from pipelines.operations.refusals import Refused


@dataclass(frozen=True, slots=True)
class _Decision:
    """The parameters a split gets, about which variant that is, and what the version says of it."""

    data: Mapping[str, Any]
    variant: str
    note: str


_Decide = Callable[[PipelineStep], _Decision]


def choose_winner(*, pipeline: Pipeline, step: str, variant: str, by: object = None) -> PipelineVersion:
    """Give all the weight of a split to one variant, and publish that; runs that drew before stay where they are.

    Raises `Refused` for what is no split or no variant of it, and where anything else would be published with it.
    """

    def decide(row: PipelineStep) -> _Decision:
        return _Decision(_all_to(row.data, variant, step), variant, f"{variant} won at {step}")

    return _publish_alone("choose_winner", pipeline, step, decide, by)


def reopen_test(*, pipeline: Pipeline, step: str, by: object = None) -> PipelineVersion:
    """Draw again at a split as before its winner was chosen, and publish that; who got the winner stays there.

    Raises `Refused` where nothing was chosen, where the pipeline never drew or drew too long ago, and where anything
    else would be published with it.
    """

    def decide(row: PipelineStep) -> _Decision:
        chosen = chosen_variants(pipeline=pipeline, splits=[row]).get(step)
        if chosen is not None and chosen.older:
            raise Refused(
                f"“{step}” drew last more than {MOST_VERSIONS} versions ago, and how is not looked up any more: "
                "set the weights of its variants yourself."
            )
        if chosen is None or chosen.before is None:
            raise Refused(f"No winner was chosen at “{step}” that could be taken back.")
        return _Decision(_as_before(row.data, chosen.before), chosen.variant, f"The test at {step} goes on")

    return _publish_alone("reopen_test", pipeline, step, decide, by)


def _publish_alone(action: str, pipeline: Pipeline, step: str, decide: _Decide, by: object) -> PipelineVersion:
    """Decided twice: for what the document promises, which is played before, and under the lock, where it counts."""
    asked = _ask(pipeline, step, decide)
    with transaction.atomic():
        lock(pipeline)
        row = _split(pipeline, step)
        decision = decide(row)
        row.data = decision.data
        row.save(update_fields=["data"])
        audit(pipeline, action, by, step=step, variant=decision.variant)
        return publish(pipeline=pipeline, by=by, note=decision.note, asked=asked)


def _ask(pipeline: Pipeline, step: str, decide: _Decide) -> Asked:
    decided = decide(_split(pipeline, step)).data
    document = document_of(pipeline)
    found: list[Any] = [place.step for place in every_place(document) if place.key == step]
    found[0]["with"] = decided
    return ask_ahead(pipeline=pipeline, document=document)


def _split(pipeline: Pipeline, step: str) -> PipelineStep:
    """The split of a pipeline whose rows say what is published: only under its lock does that stay so."""
    row = pipeline.steps.filter(key=step, action_type="split", archived_at=None).first()
    if is_unpublished(pipeline, document_of(pipeline)):
        raise Refused("The pipeline has changes that are not published: publish them first.")
    if row is None:
        raise Refused(f"There is no split “{step[:40]}” in this pipeline.")
    return row


def _all_to(now: Mapping[str, Any], winner: str, step: str) -> dict[str, Any]:
    variants = list(now.get("variants", []))
    if not any(each["name"] == winner for each in variants):
        raise Refused(f"“{step}” has no variant “{winner[:40]}”.")
    weighted = [{**each, "weight": 1 if each["name"] == winner else 0} for each in variants]
    # Where the holdout led stays written, for `on` names it; nobody is held out any more.
    return {**now, "variants": weighted} | ({"holdout": 0} if "holdout" in now else {})


def _as_before(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The variants there are now with the weights they had, those that came later with their own, and the holdout."""
    had = {each["name"]: each for each in before["variants"]}
    variants = [_weighted(each, had.get(each["name"], each)) for each in now["variants"]]
    holdout = {"holdout": before["holdout"]} if "holdout" in before else {}
    return {**{name: value for name, value in now.items() if name != "holdout"}, "variants": variants, **holdout}


def _weighted(variant: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in variant.items() if name != "weight"}
    return rest | ({"weight": like["weight"]} if "weight" in like else {})
