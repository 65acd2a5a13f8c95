"""Links of one reader, which stored messages hold as places: who may read a message cannot act for its reader."""

import re
from collections.abc import Callable, Mapping
from typing import Final

# What templates read, and what a stored message says until it leaves.
PLACES: Final[Mapping[str, str]] = {"preferences_url": "⟦preferences⟧", "unsubscribe_url": "⟦unsubscribe⟧"}
_PLACE: Final = re.compile(r"⟦(preferences|unsubscribe)⟧")


def fill_places(text: str, links: Mapping[str, Callable[[], str]]) -> str:
    """The text with the links put in; `links` make them by their word."""
    return _PLACE.sub(lambda found: links[found[1]](), text) if "⟦" in text else text
