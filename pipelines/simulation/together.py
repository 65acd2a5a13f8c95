"""Documents that come together: those that the played one starts are played as they stand beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.documents import apply_document
from pipelines.models import Pipeline
from pipelines.simulation.world import World, install, named_pipelines

Document = Mapping[str, Any]


def started_by(document: Document, beside: Sequence[Document]) -> list[Document]:
    """Of these documents those that the first starts, itself or through others."""
    known = {str(each.get("key")): each for each in beside}
    seen, waiting = {str(document.get("key"))}, named_pipelines(document)
    found: list[Document] = []
    while waiting := waiting - seen:
        seen |= waiting
        fresh = [known[key] for key in sorted(waiting) if key in known]
        found += fresh
        waiting = {name for each in fresh for name in named_pipelines(each)}
    return found


def install_beside(*, world: World, document: Document, documents: Sequence[Document]) -> None:
    """Publish them in the database in memory; all, and the played one, stand there first: each may start each."""
    there = {each.key: each for each in Pipeline.objects.filter(team=world.team)}
    for each in [document, *documents] if documents else ():
        apply_document(there.get(str(each["key"])) or Pipeline(team=world.team), each)
    for each in documents:
        install(world=world, document=each)
