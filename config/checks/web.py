"""Checks of what the web side stands on: keys, addresses, proxies, cache."""

from ipaddress import ip_network
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.http.request import validate_host

from crm.api.throttling import PERIODS

SHORTEST_KEY: Final = 50
FEWEST_CHARACTERS: Final = 5
NEW_KEY: Final = 'python -c "import secrets; print(secrets.token_urlsafe(50))" prints a good one.'
NEW_FERNET: Final = (
    'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())" prints a good one.'
)
ALONE: Final = ("LocMemCache", "DummyCache")
RATES: Final = {"api": "API_RATE", "hooks": "HOOK_RATE", "api_failures": "API_FAILURE_RATE"}


def check_secret_key(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E001, crm.E002: who can guess the key can sign in as anyone."""
    try:
        key = settings.SECRET_KEY
    except ImproperlyConfigured:
        key = ""
    if not key:
        return [Error("SECRET_KEY is not set.", hint=NEW_KEY, id="crm.E001")]
    if not settings.DEBUG and (len(key) < SHORTEST_KEY or len(set(key)) < FEWEST_CHARACTERS):
        return [Error(f"SECRET_KEY is shorter than {SHORTEST_KEY} characters.", hint=NEW_KEY, id="crm.E002")]
    return []


def check_base_url(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E003: links in mail begin with it."""
    parts = _split(settings.BASE_URL)
    if parts is None or parts.path or parts.query or parts.fragment or parts.username:
        return [
            Error(
                f"BASE_URL is not the address of a site: {settings.BASE_URL!r}.",
                hint="Scheme and host and nothing more, for example https://crm.example.org.",
                id="crm.E003",
            )
        ]
    return []


def check_hosts(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.W004, crm.W005: answer under our own names only, and under the one that links lead to."""
    if "*" in settings.ALLOWED_HOSTS:
        return [
            Warning(
                "ALLOWED_HOSTS accepts every host.",
                hint="Name the hosts of this installation: with any other, links can be made to lead elsewhere.",
                id="crm.W004",
            )
        ]
    parts = _split(settings.BASE_URL)
    if parts is not None and not validate_host(parts.hostname or "", settings.ALLOWED_HOSTS):
        return [
            Warning(
                f"BASE_URL leads to {parts.hostname}, which ALLOWED_HOSTS does not accept.",
                hint="Add it: links in mail would be answered with an error.",
                id="crm.W005",
            )
        ]
    return []


def check_https(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.W006: mailed links carry tokens."""
    if settings.BASE_URL.startswith("https://"):
        return []
    hint = "Set it to the https address that people open; mailed links carry tokens that must not be read on the way."
    return [Warning(f"BASE_URL is not https: {settings.BASE_URL!r}.", hint=hint, id="crm.W006")]


def check_shared_cache(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.W007: limits that each process counts for itself are no limits."""
    backend = settings.CACHES["default"]["BACKEND"]
    if not backend.endswith(ALONE):
        return []
    hint = "Use Redis (REDIS_URL) or the file cache: limits of logins and API calls are counted there."
    return [Warning(f"The cache is not shared between processes: {backend}.", hint=hint, id="crm.W007")]


def check_trusted_proxies(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E008: a name among addresses would break every request."""
    wrong = [proxy for proxy in settings.TRUSTED_PROXIES if not _is_network(proxy)]
    if not wrong:
        return []
    hint = "List addresses or networks, for example 10.0.0.1,10.1.0.0/16."
    return [Error(f"TRUSTED_PROXIES has entries that are no addresses: {', '.join(wrong)}.", hint=hint, id="crm.E008")]


def check_encryption_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E009: found at the start and not when the first secret is read."""
    wrong = [number for number, key in enumerate(settings.ENCRYPTION_KEYS, 1) if not _is_fernet(key)]
    if not wrong:
        return []
    places = ", ".join(map(str, wrong))
    return [Error(f"ENCRYPTION_KEYS: not a Fernet key: number {places}.", hint=NEW_FERNET, id="crm.E009")]


def check_rates(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E011: a rate that cannot be read would break every request it limits."""
    rates = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
    wrong = sorted(f"{RATES.get(scope, scope)} is {rate!r}" for scope, rate in rates.items() if not _is_rate(rate))
    hint = "Give calls and a period, for example 6000/min; the periods are s, min, hour and day."
    return [Error(f"{told}, which is no rate.", hint=hint, id="crm.E011") for told in wrong]


def _is_rate(text: str) -> bool:
    number, _, period = text.partition("/")
    return number.isdecimal() and int(number) > 0 and period in PERIODS


def _split(url: str) -> Any:
    """The parts of an absolute web address, None for anything else."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and parts.hostname else None


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_fernet(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True
