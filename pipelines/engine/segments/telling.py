"""Who entered a segment, and who left, is an event in the transaction of the membership."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contacts.hooks import Place
from contacts.models import Segment
from pipelines.engine.events import Fact, publish_all
from pipelines.engine.ways import ENTERED_SEGMENT, LEFT_SEGMENT


def tell_of_members(entered: Sequence[Place], left: Sequence[Place], /) -> None:
    """Publish an event for each; one statement more for the names of the segments."""
    ids = {segment for segment, _, _ in (*entered, *left)}
    named = {row["pk"]: row for row in Segment.objects.filter(pk__in=ids).values("pk", "team_id", "key", "name")}
    publish_all([*_facts(ENTERED_SEGMENT, entered, named), *_facts(LEFT_SEGMENT, left, named)])


def _facts(type_: str, places: Sequence[Place], named: Mapping[int, Mapping[str, Any]]) -> Iterator[Fact]:
    for segment, kind, pk in places:
        row = named[segment]
        yield Fact(row["team_id"], type_, kind, pk, {"segment": row["key"], "name": row["name"]})
