"""What others send is kept as JSON by both databases, or refused."""

import math
from collections.abc import Mapping
from typing import Any


def storable(value: Any, levels: int = 20) -> bool:
    """Whether both databases can hold it: no endless numbers, no NUL, no half characters, not too deep."""
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return levels > 0 and all(storable(each, levels - 1) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return levels > 0 and all(storable(each, levels - 1) for each in value)
    return True
