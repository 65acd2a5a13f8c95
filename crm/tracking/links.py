"""Links of an HTML mail lead through the CRM, which knows where they go from the message as it was stored.

A token names a message and the place of a link in it. No address travels in it, so none can be forged.
"""

import re
from html import escape, unescape
from typing import Final

from django.conf import settings
from django.urls import reverse

from crm.models import Message
from crm.sealing import link_token, link_values

PIXEL: Final = -1
# A link that no person sees: who follows it follows everything.
HIDDEN_LINK: Final = -2
_LINK: Final = re.compile(r"""(<a\b[^<>]*?\bhref\s*=\s*)(?:"([^"<>]*)"|'([^'<>]*)')""", re.IGNORECASE)
_WEB: Final = re.compile(r"https?://[^/\s]", re.IGNORECASE)
_BODY: Final = re.compile(r"<body\b[^<>]*>", re.IGNORECASE)


def links_of(html: str) -> list[str]:
    """The web addresses that the links of a mail lead to, each once, in order."""
    found = (unescape(double or single).strip() for _, double, single in _LINK.findall(html))
    return list(dict.fromkeys(address for address in found if _WEB.match(address) and not _is_ours(address)))


def tracked_html(message: Message, html: str) -> str:
    """`html`, made from that of the stored message, with its links led through the CRM and a pixel at its end.

    Only what the team, or the step, switched on; links to unsubscribe stay as they are.
    """
    if not html or message.pk is None:
        return html
    if _wanted(message, message.team.track_clicks):
        places = {address: place for place, address in enumerate(links_of(message.html))}
        html = _LINK.sub(lambda match: _led(match, places, message.pk), html)
        hidden = f'<a href="{_address("track-click", message.pk, HIDDEN_LINK)}" style="display:none" tabindex="-1"></a>'
        html = _after_body(html, hidden) if places else html
    if _wanted(message, message.team.track_opens):
        pixel = f'<img src="{_address("track-open", message.pk, PIXEL)}" width="1" height="1" alt="">'
        before, tag, after = html.rpartition("</body>")
        html = f"{before}{pixel}{tag}{after}" if tag else f"{html}{pixel}"
    return html


def read_token(token: str) -> tuple[int, int] | None:
    """The key of the message and the place in it; None for what was not made here."""
    values = link_values("tracking", token)
    if values is None:
        return None
    message, place = values
    return message, place


def _wanted(message: Message, by_team: bool) -> bool:
    return message.tracking == Message.Tracking.ON or (by_team and message.tracking != Message.Tracking.OFF)


def _is_ours(address: str) -> bool:
    """The pages to unsubscribe and to answer must work without a detour."""
    return address.startswith(tuple(f"{settings.BASE_URL}/{page}/" for page in ("u", "p", "y", "t")))


def _led(match: "re.Match[str]", places: dict[str, int], message: int) -> str:
    place = places.get(unescape(match[2] or match[3] or "").strip())
    if place is None:
        return match[0]
    return f'{match[1]}"{escape(_address("track-click", message, place))}"'


def _after_body(html: str, more: str) -> str:
    found = _BODY.search(html)
    return f"{html[: found.end()]}{more}{html[found.end() :]}" if found else f"{more}{html}"


def _address(name: str, message: int, place: int) -> str:
    token = link_token("tracking", [message, place])
    return f"{settings.BASE_URL}{reverse(name, args=[token])}"
