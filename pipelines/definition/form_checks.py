"""What is doubtful in the forms of human tasks: answers that they offer and that do not fit."""

from collections.abc import Iterator, Mapping
from typing import Any

from .answers import misfits
from .layout import every_place
from .shapes import Problem, spoken_path


def check_forms(document: Mapping[str, Any]) -> Iterator[Problem]:
    """A warning for each default that its field leaves empty, for it is none of its answers."""
    for place in every_place(document):
        if place.step["type"] == "human_task":
            for index, sentence in misfits(place.step["with"].get("form")):
                at = spoken_path((*place.at, "with", "form", index, "default"))
                yield Problem(at, f"the field stays empty, for this does not fit it: {sentence}", "warning")
