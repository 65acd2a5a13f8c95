"""Whether saving a definition publishes it: lines do at once, those with blocks wait as a draft for somebody's word."""

from collections.abc import Mapping
from typing import Any

from pipelines.actions.registry import kinds
from pipelines.definition.document import checksum
from pipelines.definition.layout import every_place
from pipelines.documents import document_of
from pipelines.models import Pipeline


def holds_blocks(document: Mapping[str, Any]) -> bool:
    """Whether steps stand inside others, or edges are drawn that may fork."""
    known = kinds()
    return bool(document.get("edges")) or any(
        place.step["type"] in known and known[place.step["type"]].opens_scopes for place in every_place(document)
    )


def settle_auto_publish(pipeline: Pipeline, *, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> None:
    """A definition that gets its first block is not published by saving it any more; who wants that ticks the box."""
    if pipeline.auto_publish and holds_blocks(after) and (before is None or not holds_blocks(before)):
        pipeline.auto_publish = False
        Pipeline.objects.filter(pk=pipeline.pk).update(auto_publish=False)


def is_unpublished(pipeline: Pipeline, document: Mapping[str, Any]) -> bool:
    """Whether the definition as it is edited differs from the version that runs."""
    current = pipeline.current_version
    return current is None or current.checksum != checksum(document)


def has_draft(pipeline: Pipeline, document: Mapping[str, Any] | None = None) -> bool:
    """Whether a version runs and the definition differs from it; what is edited now when none is given."""
    if pipeline.current_version_id is None:
        return False
    return is_unpublished(pipeline, document_of(pipeline) if document is None else document)


def publishes_by_saving(pipeline: Pipeline, document: Mapping[str, Any]) -> bool:
    """Whether saving this definition publishes it, without anybody asking for that."""
    if not pipeline.auto_publish or pipeline.current_version_id is None:
        return False
    return not holds_blocks(document) or holds_blocks(document_of(pipeline))
