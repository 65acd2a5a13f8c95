"""Kinds of effects by the names that steps and messages give them."""

from collections.abc import Mapping
from typing import Final

from pipelines.models import Effect

KINDS: Final[Mapping[str, Effect.Kind]] = {str(kind.label): kind for kind in Effect.Kind}
# Those that carry a message to a person.
MESSAGES: Final = frozenset(
    {Effect.Kind.EMAIL, Effect.Kind.SMS, Effect.Kind.PUSH, Effect.Kind.WHATSAPP, Effect.Kind.CHAT}
)
# Those that leave by another way than mail.
LETTERS: Final = MESSAGES - {Effect.Kind.EMAIL}
