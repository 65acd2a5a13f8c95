"""Where a request comes from, believing only proxies that the settings name."""

from ipaddress import ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """The address of the caller, or None; `X-Forwarded-For` counts only behind `TRUSTED_PROXIES`."""
    seen = _valid(request.META.get("REMOTE_ADDR", ""))
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    # Read from the right: each trusted proxy appended the peer it saw.
    for claimed in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        if seen is None or not _is_trusted(seen):
            break
        seen = _valid(claimed) or seen
    return seen


def _valid(text: str) -> str | None:
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return None


def _is_trusted(address: str) -> bool:
    ip = ip_address(address)
    return any(ip in ip_network(proxy, strict=False) for proxy in settings.TRUSTED_PROXIES)
