"""The edges of a graph as the page sends them: from where, for which outcome, to where."""

from collections.abc import Iterator
from typing import Any, Final

from django.core.exceptions import ValidationError

from pipelines.admin.fields import JsonField
from pipelines.definition.graph import DEFAULT

_NEEDED: Final = {"from": "choose the step that it leaves", "to": "choose where it leads"}


class EdgesField(JsonField):
    """A list of `{from, to, on}`; what one lacks is told with its path, such as `edges[1].to`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(expect=list, default=[], **kwargs)

    def to_python(self, value: Any) -> Any:
        found = super().to_python(value)
        problems = [said for index, edge in enumerate(found) for said in _lacking(f"edges[{index}]", edge)]
        if problems:
            raise ValidationError(problems)
        return [{name: each for name, each in edge.items() if (name, each) != ("on", DEFAULT)} for edge in found]


def _lacking(at: str, edge: Any) -> Iterator[str]:
    if not isinstance(edge, dict):
        yield f"{at}: an edge is an object with 'from' and 'to'."
        return
    for name, wanted in _NEEDED.items():
        if not isinstance(edge.get(name), str) or not edge[name]:
            yield f"{at}.{name}: {wanted}."
    if not isinstance(edge.get("on", DEFAULT), str):
        yield f"{at}.on: must be the name of an outcome."
    for name in sorted(set(edge) - {"from", "to", "on"}):
        yield f"{at}: unknown property '{name}'."
