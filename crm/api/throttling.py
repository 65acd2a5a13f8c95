"""Limits per key and per address, counted in the shared cache by the minute."""

import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.exceptions import Throttled
from rest_framework.throttling import BaseThrottle

from crm.addresses import client_address

PERIODS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}


class ApiKeyThrottle(BaseThrottle):
    """Counts calls of a key, or of an address when there is no key."""

    scope = "api"
    remaining_wait: float | None = None

    def allow_request(self, request: Any, view: Any) -> bool:
        key = getattr(request, "auth", None)
        who = f"key{key.pk}" if key is not None else f"ip{client_address(request)}"
        self.remaining_wait = over_limit(scope=self.scope, who=who)
        return self.remaining_wait is None

    def wait(self) -> float | None:
        return self.remaining_wait


def over_limit(*, scope: str, who: str) -> float | None:
    """Count one call; None while within the rate, else the seconds until the next window."""
    limit, period = rate_of(scope)
    now = time.time()
    window = int(now // period)
    name = f"throttle:{scope}:{who}:{window}"
    if cache.add(name, 1, timeout=period + 5):
        count = 1
    else:
        try:
            count = cache.incr(name)
        except ValueError:
            count = 1
    return None if count <= limit else (window + 1) * period - now


def rate_of(scope: str) -> tuple[int, int]:
    """Calls and seconds of a rate such as `6000/min`."""
    number, _, period = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"][scope].partition("/")
    return int(number), PERIODS[period]


def count_failure(request: Any) -> None:
    """Count a refused key; too many from one address are answered 429, while valid keys still pass."""
    wait = over_limit(scope="api_failures", who=f"ip{client_address(request)}")
    if wait is not None:
        raise Throttled(wait=wait)
