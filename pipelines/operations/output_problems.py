"""Outputs that no step puts out: read in conditions, expressions, templates and rules, where all of them are known."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.actions.registry import kinds
from pipelines.definition.document import Problem
from pipelines.definition.expressions import suggestion
from pipelines.definition.layout import Path, every_place
from pipelines.definition.meant import is_condition, part_of, places_of
from pipelines.definition.reading import Reads, reads_of, reads_of_rules
from pipelines.definition.shapes import spoken_path

# What a step leaves that failed, whatever else it puts out.
_ERROR = frozenset({"error"})


def output_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    """A warning at each place that reads a misspelled output: it would stay empty."""
    known = outputs_known(document)
    for place in every_place(document):
        yield from _slips(reads_of(place.step), place.at, document, known)
    for at, reads in reads_of_rules(document):
        yield from _slips(reads, at, document, known)


def outputs_known(document: Mapping[str, Any]) -> Mapping[str, frozenset[str]]:
    """The names of what steps put out, by key; steps of which nobody can tell are left out."""
    found = {}
    for place in every_place(document):
        kind = kinds().get(str(place.step.get("type")))
        names = kind.outputs({"with": {}, **place.step}) if kind is not None else None
        if names is not None:
            found[place.key] = names | _ERROR
    return found


def output_slip(path: tuple[str, ...], known: Mapping[str, frozenset[str]]) -> str:
    """What is wrong with reading a path of an output; empty where nothing is, or nobody can tell."""
    names = known.get(path[1]) if path[0] == "steps" and len(path) > 2 else None
    if names is None or path[2] in names:
        return ""
    meant = suggestion(path[2], names) or f"; there are {', '.join(sorted(names))}"
    return f"the step '{path[1]}' puts out no '{path[2]}'{meant if names != _ERROR else ''}"


def _slips(
    reads: Reads, at: Path, document: Mapping[str, Any], known: Mapping[str, frozenset[str]]
) -> Iterator[Problem]:
    for path, inside in reads.paths:
        found = output_slip(path, known)
        if found:
            part = part_of(document, (*at, *inside))
            for below, place in places_of(path, part, condition=is_condition(inside)):
                yield Problem(spoken_path((*at, *inside, *below)), f"{found}{place}", "warning")
