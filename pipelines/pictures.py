"""Pictures of documents as pages, lists, files and version histories show them."""

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from django.utils.safestring import SafeString, mark_safe

from pipelines.actions.registry import kinds
from pipelines.definition.difference import Change, difference
from pipelines.definition.picture.arrange import arrange
from pipelines.definition.picture.chart import Mark
from pipelines.definition.picture.graph import chart_of
from pipelines.definition.picture.merging import merged
from pipelines.definition.picture.sizes import SMALL
from pipelines.definition.picture.svg import Look, Theme, picture, thumbnail
from pipelines.definition.picture.words import describe

STYLE: Final = Path(__file__).parent / "static" / "pipelines" / "picture.css"


@cache
def action_labels() -> Mapping[str, str]:
    """The names of all actions by their code."""
    return {code: kind.label for code, kind in kinds().items()}


@cache
def style() -> str:
    """The style sheet of pictures, for those that stand alone as a file."""
    return STYLE.read_text("utf-8")


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """What differs between two documents, told with the names of the actions."""
    return difference(old, new, labels=action_labels())


def on_page(document: Mapping[str, Any], *, look: Look | None = None, title: str = "") -> SafeString:
    """A picture for a page that has the style sheet of pictures."""
    labels = action_labels()
    drawing = arrange(chart_of(document, labels=labels))
    said = describe(document, labels=labels)
    return _safe(picture(drawing, title=title or said[:200], words=said, look=look))


def as_file(
    document: Mapping[str, Any], *, theme: Theme = "auto", look: Look | None = None, small: bool = False
) -> str:
    """A picture that stands alone, in one theme or as the reader's device has it."""
    labels, title = action_labels(), str(document.get("name") or "Pipeline")
    chart = chart_of(document, labels=labels)
    if small:
        return thumbnail(arrange(chart, SMALL), title=title, style=style(), theme=theme)
    said = describe(document, labels=labels)
    return picture(arrange(chart), title=title, words=said, look=look, style=style(), theme=theme)


def in_list(document: Mapping[str, Any]) -> SafeString:
    """A thumbnail for a list; the same document is drawn once."""
    return _thumbnail(json.dumps({"steps": document.get("steps"), "edges": document.get("edges")}, default=str))


@lru_cache(maxsize=1_000)
def _thumbnail(text: str) -> SafeString:
    chart = chart_of(json.loads(text), labels={})
    return _safe(thumbnail(arrange(chart, SMALL), title="Picture of the steps"))


def of_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> SafeString:
    """Two documents in one picture: added green, removed red, changed amber."""
    labels = action_labels()
    marks: dict[str, Mark] = {
        each.key: each.what for each in changes(old, new) if each.part == "step" and each.what in ("changed", "moved")
    }
    both = merged(chart_of(old, labels=labels), chart_of(new, labels=labels), marks=marks)
    return _safe(picture(arrange(both), title="What changes", words="The changes are listed beside the picture."))


def _safe(text: str) -> SafeString:
    # Every text of a drawing is escaped where it is written.
    return mark_safe(text)  # noqa: S308
