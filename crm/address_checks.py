"""What is wrong with an address that stands in a mail, as far as it can be told without asking anybody."""

import re
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.urls import Resolver404, resolve

# Places of templates, and what stands for them in stored mail.
_PLACE: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|⟦\w+⟧", re.DOTALL)
# Places of other systems, or of ours with a letter missing.
_LEFT_OVER: Final = re.compile(r"\{+[^{}]*\}*|\*\|[^|]*\|\*|\[\[[^\]]*\]\]|<%.*?%>|%%[^%]*%%|\}+")
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_NEVER_FOLLOWED: Final = frozenset({"javascript", "vbscript", "file", "about", "blob"})
# In place of what nobody knows before there is a reader.
_FILLED: Final = "0"
_SHOWN: Final = 80


def address_problem(target: str, *, what: str = "link") -> str:
    """A sentence about an address that leads nowhere, empty for one that may work."""
    target = target.strip()
    shown = f"The {what} “{target[:_SHOWN]}”"
    if not target:
        return f"A {what} leads nowhere: its address is empty."
    if target == "#":
        return f"A {what} leads nowhere: its address is only “#”."
    bare = _PLACE.sub(_FILLED, target)
    left = _LEFT_OVER.search(bare)
    if left:
        return f"{shown} has a place that nobody fills in: {left[0][:40]}"
    if bare != target and _PLACE.match(target):
        return ""
    if re.search(r"\s", bare):
        return f"{shown} has a space in it: mail programs end it there."
    scheme = _SCHEME.match(bare)
    return _by_scheme(shown, bare, scheme[1].lower() if scheme else "")


def _by_scheme(shown: str, bare: str, scheme: str) -> str:
    match scheme:
        case "http" | "https":
            return _web_problem(shown, bare)
        case "mailto":
            return _mailto_problem(shown, bare)
        case "tel" | "sms":
            return "" if any(each.isdigit() for each in bare) else f"{shown} has no number."
        case "" if not bare.startswith("#"):
            return f"{shown} does not work in mail: write the whole address, with https://."
        case _ if scheme in _NEVER_FOLLOWED:
            return f"{shown} does not work in mail: mail programs do not follow {scheme}: addresses."
    return ""


def _mailto_problem(shown: str, bare: str) -> str:
    addresses = bare[len("mailto:") :].partition("?")[0]
    try:
        for each in addresses.split(","):
            # A place may stand for a whole address, or for a part of one.
            if each != _FILLED:
                validate_email(each)
    except ValidationError:
        return f"{shown} names no address to write to: mailto:name@example.org."
    return ""


def _web_problem(shown: str, bare: str) -> str:
    try:
        parts = urlsplit(bare)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return f"{shown} cannot be read as an address."
    ours = urlsplit(settings.BASE_URL)
    if parts.netloc == ours.netloc:
        return _page_problem(shown, parts.path)
    if host != _FILLED and "." not in host and ":" not in host:
        return f"{shown} leads to no host that others can reach: “{host}”." if host else f"{shown} has no host."
    return ""


def _page_problem(shown: str, path: str) -> str:
    """A page of ours must exist; what a place stands for may be any."""
    try:
        if _FILLED not in path:
            resolve(path or "/")
    except Resolver404:
        return f"{shown} leads to a page that this installation does not have."
    return ""
