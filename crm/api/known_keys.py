"""Bodies of requests say nothing that nobody reads: a misspelled key is an error, not a setting that was never made."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

MOST_TOLD = 20


class KnownKeys(serializers.Serializer[Any]):
    """A serializer that refuses keys it has no field for.

    What may only be read is passed over, so that an answer can be changed and put back.
    """

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [str(name) for name in data if name not in self.fields]
            if unknown:
                writable = sorted(name for name, field in self.fields.items() if not field.read_only)
                raise ValidationError({name[:120]: [_sentence(name, writable)] for name in unknown[:MOST_TOLD]})
        return super().to_internal_value(data)


def _sentence(name: str, writable: list[str]) -> str:
    close = get_close_matches(name[:120], writable, n=1)
    meant = f" Did you mean '{close[0]}'?" if close else ""
    return f"There is no such field.{meant} Known: {', '.join(writable)}."
