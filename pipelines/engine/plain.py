"""Values as JSON keeps them, and how large a context may grow."""

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings

from pipelines.definition.document import in_words
from pipelines.engine.cursor import Memory

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
    """False when a changed context is over the hard limit, `PIPELINES_MAX_CONTEXT_BYTES` of JSON."""
    if memory is None or not memory.dirty:
        return True
    parts = [memory.trigger, memory.vars, memory.outputs, memory.locals]
    text = json.dumps(parts, ensure_ascii=False, default=str)
    most: int = settings.PIPELINES_MAX_CONTEXT_BYTES
    # No letter takes more than four bytes, so most contexts need not be written as bytes.
    return 4 * len(text) <= most or len(text.encode("utf-8", "replace")) <= most


def too_large() -> str:
    """What is said of a run whose context is over the limit."""
    most = in_words(settings.PIPELINES_MAX_CONTEXT_BYTES)
    return f"This run would remember more than {most}: let its steps keep less, such as ids instead of records."
