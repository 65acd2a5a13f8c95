"""The short way for templates that only put texts in: everything else takes the engine's long way.

It answers None whenever a value is missing, is no text, or would need any rule of the template language, so it can
never say anything else than the engine would.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import escape

_SHOWN: Final = re.compile(r"\{\{ *([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*) *\}\}")
# Words with a meaning of their own in the language.
_SPECIAL: Final = frozenset({"true", "false", "nil", "null", "empty", "blank", "size", "first", "last", "now", "today"})
_LONGEST: Final = 10_000


@dataclass(frozen=True, slots=True)
class PlainTemplate:
    """Literal texts with a path between each two."""

    texts: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]
    html: bool

    def render(self, context: Mapping[str, Any]) -> str | None:
        """The text, or None when the long way must be taken."""
        parts = [self.texts[0]]
        length = 0
        for path, text in zip(self.paths, self.texts[1:], strict=True):
            value: Any = context
            for name in path:
                if value.__class__ is not dict and not isinstance(value, Mapping):
                    return None
                value = value.get(name)
            if value.__class__ is not str:
                return None
            length += len(value)
            parts.append(str(escape(value)) if self.html else value)
            parts.append(text)
        return "".join(parts) if length <= _LONGEST else None


def plain_template(source: str, *, html: bool) -> PlainTemplate | None:
    """The template when it consists of texts and plain paths only."""
    pieces = _SHOWN.split(source)
    texts, shown = pieces[::2], pieces[1::2]
    if any(mark in text for text in texts for mark in ("{{", "}}", "{%", "%}")):
        return None
    paths = tuple(tuple(path.split(".")) for path in shown)
    if any(name in _SPECIAL for path in paths for name in path):
        return None
    return PlainTemplate(tuple(texts), paths, html)
