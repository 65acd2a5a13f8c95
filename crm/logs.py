"""Log lines that cannot be forged and tell no addresses and no keys."""

import logging
import re
import time

EMAIL = re.compile(r"[\w.+%'-]+@[\w-]+(?:\.[\w-]+)*")
KEY = re.compile(r"crmk_[0-9a-zA-Z_]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class LineFormatter(logging.Formatter):
    """One line per record: UTC time, level, logger, message; traces follow escaped on the same line."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return escape(mask(super().format(record)))


def mask(text: str) -> str:
    """The text without mail addresses and API keys."""
    return KEY.sub("crmk_…", EMAIL.sub("…@…", text))


def escape(text: str) -> str:
    """The text on one line: control characters, also those of terminals, spelled out."""
    return CONTROL.sub(_spelled, text)


def _spelled(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode()
