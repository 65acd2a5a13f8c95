"""Checks of outgoing HTTP: which private targets are opened, which ports, for how long."""

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error

HIGHEST_PORT: Final = 65_535


def check_allowed_targets(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E060: a typing error must not open, or close, a network."""
    from crm.channels.http import parse_allow

    try:
        parse_allow(settings.OUTBOUND_HTTP_ALLOW)
    except ValueError as error:
        hint = "List networks with their port, for example 10.1.2.0/24:8443,127.0.0.1:9000."
        return [Error(f"OUTBOUND_HTTP_ALLOW cannot be read: {error}", hint=hint, id="crm.E060")]
    return []


def check_ports_and_seconds(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E061, crm.E062: ports that exist, and a deadline."""
    found: list[CheckMessage] = []
    wrong = [port for port in settings.OUTBOUND_HTTP_PORTS if not 1 <= port <= HIGHEST_PORT]
    if wrong:
        hint = "Ports are numbers from 1 to 65535."
        found.append(Error(f"OUTBOUND_HTTP_PORTS has no ports: {wrong}.", hint=hint, id="crm.E061"))
    if settings.OUTBOUND_HTTP_SECONDS <= 0:
        hint = "Give calls a deadline above zero; 20 is the default."
        found.append(Error("OUTBOUND_HTTP_SECONDS leaves no time for a call.", hint=hint, id="crm.E062"))
    return found
