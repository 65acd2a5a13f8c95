"""Whether a person or a program opened a mail or followed a link: the first reason that speaks for a program."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

# Faster than this after the mail left, nobody reads.
TOO_FAST: Final = timedelta(seconds=2)
# A mail that left later than this after a click left by another clock, such as that of a test: nothing can be told.
OTHER_CLOCK: Final = timedelta(minutes=1)
# So many links of one mail within the span above are followed by programs only.
MANY_LINKS: Final = 3
# How long somebody who followed the hidden link is taken for a program.
CAUGHT: Final = timedelta(minutes=10)
# What is said of an open that nothing else speaks against.
OPENED_BY_SOMEBODY: Final = "an open alone proves no reader"
FETCHED_BY_PROVIDER: Final = "loaded by a mail provider"
# Opens that may be a person's; the others are told to nobody.
DOUBTFUL: Final = frozenset({OPENED_BY_SOMEBODY, FETCHED_BY_PROVIDER})
# Where browsers say that nobody looks yet.
PURPOSES: Final = ("Purpose", "X-Purpose", "Sec-Purpose", "X-Moz")
PROGRAMS: Final = re.compile(
    r"bot\b|crawl|spider|scan|preview|barracuda|proofpoint|mimecast|safelinks|urldefense|symantec|fireeye|trend ?micro"
    r"|microsoft office|python|curl|wget|java/|go-http|okhttp|libwww|headless|httpclient|axios|node-fetch|ruby|perl",
    re.IGNORECASE,
)
PROXIES: Final = re.compile(r"googleimageproxy|yahoomailproxy|outlookmobile.*proxy|ggpht", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Call:
    """What one request tells: its method and headers, and how it stands to the others of the same mail."""

    method: str
    agent: str
    headers: Mapping[str, str]
    at: datetime
    sent_at: datetime | None
    links_just_now: int = 1
    hidden_link_at: datetime | None = None


def why_a_program(call: Call) -> str:
    """A short reason, or nothing when it looks like a person."""
    if call.method != "GET":
        return f"a {call.method} request"
    purposes = " ".join(call.headers.get(name, "") for name in PURPOSES).lower()
    if any(word in purposes for word in ("prefetch", "prerender", "preview")):
        return "loaded ahead by a browser"
    if not call.agent:
        return "names no program"
    if PROGRAMS.search(call.agent):
        return "a known scanner"
    if call.hidden_link_at is not None and call.at - call.hidden_link_at < CAUGHT:
        return "followed a link nobody sees"
    if call.sent_at is None or -OTHER_CLOCK < call.at - call.sent_at < TOO_FAST:
        return "at once after sending"
    if call.links_just_now >= MANY_LINKS:
        return "many links at once"
    return ""


def why_no_reader(call: Call) -> str:
    """For opens, which mail programs make by themselves: there is always a reason."""
    if PROXIES.search(call.agent):
        return FETCHED_BY_PROVIDER
    # What Apple's privacy protection calls itself, whether or not anybody looks.
    if call.agent.strip() == "Mozilla/5.0":
        return "loaded ahead by Apple Mail"
    return why_a_program(call) or OPENED_BY_SOMEBODY
