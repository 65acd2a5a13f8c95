"""What a receiver answered, reduced to what may be kept, and what it means for the next attempt."""

import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from crm.channels.base import Code, Delivered, DeliveryResult, Refused

LONGEST_WAIT: Final = 24 * 3600.0
SHOWN: Final = 64 * 1024
DEEPEST: Final = 50
_SECONDS: Final = re.compile(r"-?[0-9]+")
# PostgreSQL keeps neither in text nor in JSON, so one such answer would stop everything settled with it.
_UNSTORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What the receiver said. Cookies and other headers are not kept, and a body only of a success."""

    status: int
    body: bytes = b""
    content_type: str = ""
    retry_after: float | None = None

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300

    def to_result(self) -> DeliveryResult:
        """2xx is success; 408, 429 and 5xx are worth another try, everything else is not."""
        if self.accepted:
            return Delivered(reference="", detail={"status": self.status, "body": self.shown()})
        if 300 <= self.status < 400:
            sentence = f"The receiver answered {self.status}: redirects are not followed."
            return Refused(code="http_4xx", detail=sentence, permanent=True)
        code, permanent = _meaning(self.status)
        detail = f"The receiver answered {self.status}."
        gone = self.status == 410
        return Refused(code=code, detail=detail, permanent=permanent, retry_after=self.retry_after, gone=gone)

    def shown(self) -> Any:
        """The answer as later steps read it: JSON where it is JSON, as much as was taken; else text, bounded.

        A part of JSON would be none, and whoever reads a field of it would read nothing without being told.
        """
        if "json" in self.content_type:
            try:
                return storable(json.loads(self.body.decode("utf-8", errors="replace")))
            except (ValueError, RecursionError):
                pass
        return storable(self.body[:SHOWN].decode("utf-8", errors="replace"))


def storable(value: Any, *, depth: int = 0) -> Any:
    """Parsed JSON as every database keeps it; raises ValueError for numbers and depths that none keeps."""
    if depth > DEEPEST:
        raise ValueError(f"The value is nested more than {DEEPEST} levels deep.")
    match value:
        case str():
            return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
        case float() if not math.isfinite(value):
            raise ValueError("The value contains a number that is not finite.")
        case dict():
            return {storable(str(key)): storable(item, depth=depth + 1) for key, item in value.items()}
        case list():
            return [storable(item, depth=depth + 1) for item in value]
    return value


def parse_retry_after(text: str | None) -> float | None:
    """Seconds a receiver asks us to wait, never more than a day; None when it does not say."""
    if not text:
        return None
    seconds = float(text) if _SECONDS.fullmatch(text) else _until(text)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_WAIT)


def _until(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    # A date with -0000 says that it is UTC without an offset.
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime.now(UTC)).total_seconds()


def _meaning(status: int) -> tuple[Code, bool]:
    if status == 429:
        return "http_429", False
    if status == 408:
        return "timeout", False
    return ("http_5xx", False) if status >= 500 else ("http_4xx", True)
