"""Tests that a person ended: which variant, since which version, by whom, and how was drawn before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from pipelines.definition.layout import every_place
from pipelines.definition.variants import chosen_variant
from pipelines.models import Pipeline, PipelineStep, PipelineVersion

# A choice is looked for in so many versions; one that is older keeps holding, but is not told with its day.
MOST_VERSIONS: Final = 50


@dataclass(frozen=True, slots=True)
class Chosen:
    """The variant everybody takes, the version that said so first, and the parameters when it last drew."""

    variant: str
    version: int
    at: datetime
    by: str
    before: Mapping[str, Any] | None
    # Every version that was looked at says it already, and there are more.
    older: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {"variant": self.variant, "version": self.version, "at": self.at, "by": self.by}


def chosen_variants(*, pipeline: Pipeline, splits: Iterable[PipelineStep]) -> dict[str, Chosen]:
    """The decided ones among these splits, by their key; one statement, and none while all still draw."""
    variants = {split.key: chosen_variant(split.data) for split in splits}
    open_ones = {key: variant for key, variant in variants.items() if variant is not None}
    if not open_ones:
        return {}
    newest = pipeline.versions.select_related("published_by").defer("program").order_by("-number")
    # One more than is told of says whether there are older ones.
    rows = list(newest[: MOST_VERSIONS + 1])
    found: dict[str, Chosen] = {}
    # Before these was another choice, whose day is not that of this one.
    other: set[str] = set()
    for version in rows[:MOST_VERSIONS]:
        told = {place.key: place.step.get("with") or {} for place in every_place(version.document)}
        for key, variant in list(open_ones.items()):
            then = chosen_variant(told.get(key, {}))
            if then is None:
                # Here it was drawn still, or the step was not there yet.
                del open_ones[key]
                if key in found and "variants" in told.get(key, {}):
                    found[key] = replace(found[key], before=told[key])
            elif then != variant:
                other.add(key)
            elif key not in other:
                found[key] = _since(version, variant)
    beyond = open_ones if len(rows) > MOST_VERSIONS else {}
    return {key: replace(chosen, older=key in beyond) for key, chosen in found.items()}


def _since(version: PipelineVersion, variant: str) -> Chosen:
    return Chosen(variant, version.number, version.published_at, str(version.published_by or ""), None)
