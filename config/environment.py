"""Reads the environment: what cannot be read is named, with what is expected, before anything starts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from zoneinfo import ZoneInfo

import environ
from django.core.exceptions import ImproperlyConfigured

TRUE: Final = frozenset({"1", "true", "on", "ok", "y", "yes"})
FALSE: Final = frozenset({"", "0", "false", "off", "n", "no"})
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
EXPECTED: Final[dict[Any, str]] = {
    bool: "1 or 0",
    int: "a whole number",
    float: "a number",
}


class WrongSetting(ImproperlyConfigured):
    """crm.E010: a setting cannot be read. Told without its value, which may be a secret."""


class Environment(environ.Env):
    """django-environ, with a sentence in place of a traceback."""

    def get_value(self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, **more: Any) -> Any:
        with _told(var, EXPECTED.get(cast if isinstance(cast, type) else None, "a value that can be read")):
            if cast is bool and str(self.ENVIRON.get(var, "")).strip().lower() not in TRUE | FALSE:
                raise ValueError
            return super().get_value(var, cast=cast, default=default, **more)

    def db_url(self, var: str, **more: Any) -> dict[str, Any]:
        """A database that the engine's statements are written for."""
        with _told(var, "PostgreSQL (postgres://…), or SQLite (sqlite:///…) on one machine"):
            found: dict[str, Any] = super().db_url(var, **more)
            if found.get("ENGINE") not in ("django.db.backends.sqlite3", "django.db.backends.postgresql"):
                raise ValueError
            return found

    def email_url(self, var: str, **more: Any) -> dict[str, Any]:
        with _told(var, "an address such as smtp+tls://user:password@mail.example.org:587"):
            found: dict[str, Any] = super().email_url(var, **more)
            return found

    def zone(self, var: str, *, default: str) -> str:
        """The name of a time zone."""
        with _told(var, "the name of a time zone, such as Europe/Berlin"):
            return ZoneInfo(self.str(var, default=default)).key

    def level(self, var: str, *, default: str) -> str:
        """How much is logged."""
        with _told(var, f"one of {', '.join(LEVELS)}"):
            return LEVELS[LEVELS.index(self.str(var, default=default).upper())]


@contextmanager
def _told(name: str, expected: str) -> Iterator[None]:
    try:
        yield
    except WrongSetting:
        raise
    except (ValueError, KeyError, TypeError, OSError, ImproperlyConfigured) as error:
        sentence = f"(crm.E010) {name} cannot be read. Expected: {expected}."
        raise WrongSetting(
            f"{sentence}\n\tHINT: Correct it in the environment or in .env; see .env.example."
        ) from error
