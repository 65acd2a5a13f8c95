"""Splits that were decided: all the weight is on one variant, and nobody is held out."""

from collections.abc import Mapping
from typing import Any, Final

# What a visit says of itself when nothing was drawn.
CHOSEN: Final = "everybody takes this variant now"


def chosen_variant(parameters: Mapping[str, Any]) -> str | None:
    """The one variant that everybody takes; none while a split still draws."""
    variants = parameters.get("variants")
    if not isinstance(variants, list) or parameters.get("holdout"):
        return None
    weighted = [each["name"] for each in variants if each.get("weight", 1)]
    return str(weighted[0]) if len(weighted) == 1 else None
