"""What is likely to go wrong with a mail, found by reading it: links, the way out, size."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Final

# Most mail programs cut longer mail off, and with it the link to unsubscribe.
LONGEST_SHOWN: Final = 100_000
_REACHABLE: Final = re.compile(r"(?:https?://[^/\s]|mailto:|tel:|sms:|cid:|#|\{\{|\{%)", re.IGNORECASE)
_TARGETS: Final = {"a": "href", "img": "src", "area": "href"}


class _Targets(HTMLParser):
    """Collects what links and pictures point at."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, str]] = []
        self.unnamed = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        wanted = _TARGETS.get(tag)
        if wanted in given:
            self.found.append((tag, (given[wanted] or "").strip()))
        if tag == "img" and "alt" not in given:
            self.unnamed += 1


def letter_warnings(*, subject: str, text: str, html: str, topic: str) -> Iterator[str]:
    """Sentences about one mail or its template; none of them keeps it from being sent."""
    if not subject.strip():
        yield "The subject is empty."
    if not text.strip() and not html.strip():
        yield "The message is empty."
    if topic in ("", "transactional"):
        yield "Nobody can unsubscribe from this message: it has no topic. Leave it so only for mail people asked for."
    parser = _Targets()
    parser.feed(html)
    for tag, target in dict.fromkeys(parser.found):
        if not _REACHABLE.match(target):
            yield _about_target(tag, target)
    if parser.unnamed:
        yield f"Pictures without a text (alt): {parser.unnamed}. Many mail programs show that text first."
    if len(html.encode()) > LONGEST_SHOWN:
        yield "The HTML is longer than 100 kB: some mail programs show the beginning only."


def _about_target(tag: str, target: str) -> str:
    what = "picture" if tag == "img" else "link"
    if not target:
        return f"A {what} leads nowhere: its address is empty."
    return f"The {what} “{target[:80]}” does not work in mail: write the whole address, with https://."
