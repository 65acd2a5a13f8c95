"""What one page hands to the next through the browser: compressed and signed for one purpose, so nothing is kept."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner

KEPT: Final = timedelta(days=1)
# What the other fields of a form may need of what a request takes.
_ROOM: Final = 64 * 1024


class TooLarge(Exception):
    """Even compressed it is more than a request takes."""


class SentAlong:
    """Seals for one purpose, such as one person in one team; what was sealed for another does not open."""

    def __init__(self, *purpose: object) -> None:
        self._signer = TimestampSigner(salt="/".join(["sent along", *map(str, purpose)]))

    def seal(self, what: Mapping[str, str]) -> str:
        """Texts as one text for a hidden field; raises TooLarge."""
        sealed = str(self._signer.sign_object(dict(what), compress=True))
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if most is not None and len(sealed) > most - _ROOM:
            raise TooLarge
        return sealed

    def open(self, sealed: str) -> dict[str, Any] | None:
        """What was sealed; None when it was not sealed for this, or more than a day ago."""
        try:
            return dict(self._signer.unsign_object(sealed, max_age=KEPT))
        except BadSignature:
            return None
