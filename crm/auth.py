"""Passwords checked at a bounded rate per account and per address, never locking anyone out for good."""

import hashlib
import time
from typing import Any

from django.conf import settings
from django.contrib.auth import user_logged_in, user_login_failed
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import make_password
from django.core.cache import cache
from django.dispatch import receiver
from django.http import HttpRequest

from crm.addresses import client_address
from crm.models import AuditEntry, Member

KNOWN_SECONDS = 30 * 24 * 3600


class ThrottledModelBackend(ModelBackend):
    """Django's own check, refused in the same words and time when tried too often.

    Failures are counted per address, against one who tries many accounts; and per account, against many
    addresses that try one. An address the owner has signed in from is not held up by the count of the
    account, so a stranger who guesses cannot keep the owner out. Every count ends with its window.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Any:
        if request is None or not too_many_attempts(username=username or "", address=client_address(request)):
            return super().authenticate(request, username=username, password=password, **kwargs)
        make_password(password)
        return None


def too_many_attempts(*, username: str, address: str | None) -> bool:
    """True when failures of this window have reached a limit."""
    names = _names(username, address)
    counts = cache.get_many(names)
    together, account, source = (counts.get(name, 0) for name in names)
    if together >= settings.LOGIN_ATTEMPTS_PER_ACCOUNT or source >= settings.LOGIN_ATTEMPTS_PER_ADDRESS:
        return True
    return account >= settings.LOGIN_ATTEMPTS_PER_ACCOUNT and not cache.get(_known(username, address))


@receiver(user_login_failed)
def count_failed_login(*, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Count and record a failed login; the name tried is kept only as a digest."""
    if request is None:
        return
    address = client_address(request)
    username = str(credentials.get("username", ""))
    # Beyond the limit nothing new is learned, and a flood must not fill the audit log.
    if not too_many_attempts(username=username, address=address):
        AuditEntry.record(team=None, action="login.failed", address=address, details={"account": _digest(username)})
    for name in _names(username, address):
        _increase(name)


@receiver(user_logged_in)
def record_login(*, user: Any, request: HttpRequest | None = None, **_: Any) -> None:
    """Record a login, forget the failures before it and remember the address."""
    address = client_address(request) if request is not None else None
    if request is not None:
        cache.delete_many(_names(user.get_username(), address)[:2])
        cache.set(_known(user.get_username(), address), True, timeout=KNOWN_SECONDS)
    member = Member.objects.filter(user=user).select_related("team").order_by("pk").first()
    AuditEntry.record(team=member.team if member else None, action="login", actor=user, address=address)


def _names(username: str, address: str | None) -> tuple[str, str, str]:
    """Names of the three counters: account at this address, account anywhere, address with any account."""
    window = int(time.time() // settings.LOGIN_ATTEMPTS_WINDOW)
    account, source = _digest(username), _digest(str(address))
    return f"login:{account}:{source}:{window}", f"login:a{account}:{window}", f"login:s{source}:{window}"


def _known(username: str, address: str | None) -> str:
    return f"login:known:{_digest(username)}:{_digest(str(address))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.strip().lower().encode()).hexdigest()[:16]


def _increase(name: str) -> None:
    if cache.add(name, 1, timeout=settings.LOGIN_ATTEMPTS_WINDOW):
        return
    try:
        cache.incr(name)
    except ValueError:
        cache.set(name, 1, timeout=settings.LOGIN_ATTEMPTS_WINDOW)
