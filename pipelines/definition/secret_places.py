"""Where a document may name secrets of its team: in the headers of calls, each exactly as `{{ secret.NAME }}`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from .layout import Path, Place, every_place
from .values import ParameterError, compile_value, is_dynamic

SECRET: Final = "secret"  # noqa: S105 - the name of the root, not a password
# Parts of steps whose values the engine hands over itself, and nobody else sees.
CARRYING: Final = frozenset({("call_api", "headers")})
ELSEWHERE: Final = (
    "a secret is known only in the headers of a step that calls another system: write it there, "
    "such as {{ secret.BILLING_KEY }}"
)
NOT_ALONE: Final = (
    "a secret stands in a header as it is, such as {{ secret.BILLING_KEY }} or Bearer {{ secret.BILLING_KEY }}: "
    "without filters, conditions or sums, and named by capitals, digits and _"
)
_NAME: Final = r"secret\.([A-Z][A-Z0-9_]{0,59})"
_SHOWN: Final = re.compile(rf"\{{\{{-?\s*{_NAME}\s*-?\}}\}}")
_WHOLE: Final = re.compile(rf"=\s*{_NAME}\s*")
_HOST: Final = re.compile(r"\s*https?://[^/?#{]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Named:
    """A secret that a header names: where, where the call's address stands, and its host if that is fixed."""

    name: str
    place: Place
    at: Path
    address_at: Path
    host: str | None


def secret_fault(text: object, step: object, inside: Path) -> str | None:
    """What is wrong with reading secrets in this text of a step; None where it may be read so."""
    kind = step.get("type") if isinstance(step, Mapping) else None
    if inside[:1] != ("with",) or (kind, inside[1:2][0] if inside[1:] else "") not in CARRYING:
        return ELSEWHERE
    if not isinstance(text, str) or len(inside) != 3:
        return ELSEWHERE
    if _WHOLE.fullmatch(text):
        return None
    rest = text if text.startswith("=") else _SHOWN.sub("", text)
    try:
        return NOT_ALONE if SECRET in compile_value(rest).names else None
    except ParameterError:
        return NOT_ALONE


def secrets_named(document: Mapping[str, Any]) -> Iterator[Named]:
    """The secrets that the headers of a checked document name."""
    for place in every_place(document):
        given = place.step.get("with") or {}
        for kind, part in CARRYING:
            headers = given.get(part)
            if place.step.get("type") != kind or not isinstance(headers, Mapping):
                continue
            for header, text in headers.items():
                for name in _names_in(text):
                    at = (*place.at, "with")
                    yield Named(name, place, (*at, part, str(header)), (*at, "url"), literal_host(given.get("url")))


def secret_names(paths: frozenset[tuple[str, ...]]) -> list[str]:
    """The names of the secrets among the paths that something reads."""
    return sorted(path[1] for path in paths if path[0] == SECRET and len(path) == 2)


def literal_host(url: object) -> str | None:
    """The host of an address that is the same for everybody; None where it is filled in."""
    if not isinstance(url, str) or url.startswith("="):
        return None
    found = _HOST.match(url)
    if found is None or (found.end() == len(url) and is_dynamic(found[0])) or url[found.end() : found.end() + 1] == "{":
        return None
    try:
        return urlsplit(found[0].strip()).hostname
    except ValueError:
        return None


def _names_in(text: object) -> list[str]:
    if not isinstance(text, str):
        return []
    whole = _WHOLE.fullmatch(text)
    return [whole[1]] if whole else _SHOWN.findall(text)
