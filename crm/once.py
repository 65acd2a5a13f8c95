"""What a page asks for several times is read once for each request."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from django.http import HttpRequest

Value = TypeVar("Value")
_KEPT = "read_once"


def once(request: HttpRequest, key: Hashable, read: Callable[[], Value]) -> Value:
    """What `read` answers, asked the first time that this request wants what the key names."""
    kept: dict[Hashable, Any] = request.__dict__.setdefault(_KEPT, {})
    if key not in kept:
        kept[key] = read()
    found: Value = kept[key]
    return found
