"""Values as JSON keeps them, and how large a context may grow."""

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pipelines.engine.cursor import Memory

MAX_CONTEXT_BYTES = 10 * 1024 * 1024
TOO_LARGE = "This run would remember more than 10 MB: let its steps keep less, such as ids instead of records."
_AS_THEY_ARE = (str, int, float, bool, type(None))
# Asked first, for almost every value is of one of these classes themselves and hardly any of one below.
_EXACTLY = frozenset(_AS_THEY_ARE)


def plain(value: Any) -> Any:
    """A copy that JSON can hold: times become ISO text, decimals text, the rest as it is."""
    of_class = value.__class__
    if of_class in _EXACTLY or (of_class is not dict and isinstance(value, _AS_THEY_ARE)):
        return value
    if of_class is dict or isinstance(value, Mapping):
        return {str(key): item if item.__class__ in _EXACTLY else plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return str(value)
    return str(value)


def fits(memory: Memory | None) -> bool:
    """False when a changed context is over the hard limit."""
    if memory is None or not memory.dirty:
        return True
    size = len(json.dumps([memory.trigger, memory.vars, memory.outputs], default=str))
    return size <= MAX_CONTEXT_BYTES
