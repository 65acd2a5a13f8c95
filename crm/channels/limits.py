"""The limits of outgoing calls as the settings give them."""

from django.conf import settings

from crm.channels.http import HttpPolicy, parse_allow


def configured(*, seconds: float | None = None, reads_refusals: bool = False) -> HttpPolicy:
    """Time, ports and private targets of one call; a caller may only ask for less time."""
    longest = settings.OUTBOUND_HTTP_SECONDS
    return HttpPolicy(
        total_seconds=longest if seconds is None else min(longest, max(seconds, 0.1)),
        ports=tuple(settings.OUTBOUND_HTTP_PORTS),
        allow=parse_allow(settings.OUTBOUND_HTTP_ALLOW),
        reads_refusals=reads_refusals,
    )
