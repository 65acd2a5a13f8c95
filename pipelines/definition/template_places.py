"""Where a template goes wrong when its parser only says that something ended too early."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_OPENING = re.compile(r"\{\{|\{%")
_NAME = re.compile(r"-?\s*(\w*)")
_BLOCKS = frozenset({"if", "unless", "for", "case", "capture"})
_VERBATIM = frozenset({"raw", "comment"})


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag, or an output, which has no name; `start` and `end` are places in the source."""

    name: str
    start: int
    end: int


def unclosed(source: str) -> Tag | None:
    """The innermost block that nothing closes."""
    stack = _open_blocks(list(_tags(source)))
    return stack[-1] if stack else None


def culprit(source: str, reads: Callable[[str], bool]) -> Tag | None:
    """The first tag with which the text cannot be read any more, its blocks closed; a few attempts at most."""
    tags = list(_tags(source))
    readable, broken = 0, len(tags)
    if not tags or reads(_until(source, tags)):
        return None
    while broken - readable > 1:
        middle = (readable + broken) // 2
        if reads(_until(source, tags[:middle])):
            readable = middle
        else:
            broken = middle
    return tags[broken - 1]


def _until(source: str, tags: list[Tag]) -> str:
    closing = "".join(f"{{% end{tag.name} %}}" for tag in reversed(_open_blocks(tags)))
    return source[: tags[-1].end] + closing


def _tags(source: str) -> Iterator[Tag]:
    position = 0
    while match := _OPENING.search(source, position):
        closing = source.find("}}" if match[0] == "{{" else "%}", match.end())
        end = closing + 2 if closing >= 0 else len(source)
        named = _NAME.match(source, match.end())
        name = named[1] if match[0] == "{%" and named is not None else ""
        yield Tag(name, match.start(), end)
        position = end
        if name in _VERBATIM:
            # What stands in there is no markup.
            closed = re.compile(rf"\{{%-?\s*end{name}\b").search(source, end)
            position = closed.start() if closed else len(source)


def _open_blocks(tags: list[Tag]) -> list[Tag]:
    stack: list[Tag] = []
    for tag in tags:
        if tag.name in _BLOCKS or tag.name in _VERBATIM:
            stack.append(tag)
        elif stack and tag.name == f"end{stack[-1].name}":
            stack.pop()
    return stack
