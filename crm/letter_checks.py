"""What is likely to go wrong with a mail, found by reading it: links, the way out, size."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Final

from crm.address_checks import address_problem

# Most mail programs cut longer mail off, and with it the link to unsubscribe.
LONGEST_SHOWN: Final = 100_000
# Addresses of a text, with the places of a template in them.
_WRITTEN: Final = re.compile(r"https?://(?:\{\{.*?\}\}|\{%.*?%\}|[^\s<>\"“”])+", re.IGNORECASE | re.DOTALL)
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
    found = [("picture" if tag == "img" else "link", target) for tag, target in parser.found]
    found += [("link", address) for address in _written(text)]
    problems = (address_problem(target, what=what) for what, target in dict.fromkeys(found))
    yield from (problem for problem in problems if problem)
    if parser.unnamed:
        yield f"Pictures without a text (alt): {parser.unnamed}. Many mail programs show that text first."
    if len(html.encode()) > LONGEST_SHOWN:
        yield "The HTML is longer than 100 kB: some mail programs show the beginning only."


def addresses_in(*, text: str, html: str) -> list[str]:
    """What the links and pictures of a mail point at, in order; those of its text after those of its HTML."""
    parser = _Targets()
    parser.feed(html)
    return [*(target for _, target in parser.found), *_written(text)]


def _written(text: str) -> list[str]:
    """Addresses as they stand in a text, without the punctuation of the sentence around them."""
    found = (each if "(" in each else each.partition(")")[0] for each in _WRITTEN.findall(text))
    return [each.rstrip(".,;:!?'’") for each in found]
