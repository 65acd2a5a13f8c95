"""The shape that values of custom fields may have, whoever writes them."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

KEY: Final = re.compile(r"^[a-z][a-z0-9_]{0,39}$")
MAX_BYTES: Final = 64 * 1024
MAX_KEYS: Final = 100
_SCALARS = (str, int, float, bool, type(None))


def problems(custom: object) -> list[tuple[str, str]]:
    """What is wrong with an object of custom values, as (path, message); empty when it is fine."""
    if not isinstance(custom, Mapping):
        return [("custom", 'Give an object such as {"plan": "pro"}.')]
    if len(custom) > MAX_KEYS:
        return [("custom", f"At most {MAX_KEYS} custom fields fit on one record.")]
    found = [problem for key, value in custom.items() for problem in _value_problems(key, value)]
    if not found and len(json.dumps(dict(custom))) > MAX_BYTES:
        found = [("custom", f"Custom fields of one record may hold {MAX_BYTES // 1024} KB.")]
    return found


def _value_problems(key: object, value: object) -> list[tuple[str, str]]:
    path = f"custom.{key}"
    if not isinstance(key, str) or not KEY.match(key):
        message = "Keys are lower-case letters, digits and underscores, starting with a letter."
        return [(path, message)]
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, _SCALARS) for item in items):
        return [(path, "Values are text, numbers, true, false, null or lists of these.")]
    if any(isinstance(item, str) and "\x00" in item for item in items):
        return [(path, "Null characters are not allowed.")]
    if any(isinstance(item, float) and not math.isfinite(item) for item in items):
        return [(path, "Numbers must be finite.")]
    return []


def merged(*, current: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`current` with the changes applied: null removes a key, everything else replaces it."""
    result = {**current, **changes}
    return {key: value for key, value in result.items() if value is not None}


def key_from_header(header: str) -> str:
    """A key such as `plan_type` made from a column title such as "Plan type"."""
    key = re.sub(r"[^a-z0-9]+", "_", header.strip().lower()).strip("_")[:40]
    return key if KEY.match(key) else f"field_{key}"[:40].rstrip("_")
