"""Bearer keys: the only way into the API."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from crm.api.throttling import count_failure
from crm.models import ApiKey, Member
from crm.models.api_key import KEY_MARK, checksum
from crm.models.member import Role

RANK = {role: rank for rank, role in enumerate(Role.values)}
SEEN_EVERY = timedelta(minutes=1)
UNKNOWN = "This API key is unknown, expired or revoked."


class ApiKeyAuthentication(BaseAuthentication):
    """Reads `Authorization: Bearer crmk_…`; `request.auth` becomes the key, with the role it has today."""

    def authenticate(self, request: Request) -> tuple[Any, ApiKey] | None:
        if any(str(value).startswith(f"{KEY_MARK}_") for value in request.query_params.values()):
            raise AuthenticationFailed("Send the key in the Authorization header: addresses end up in logs.")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        key = find_key(token=token.strip(), now=timezone.now())
        if key is None:
            count_failure(request)
            raise AuthenticationFailed(UNKNOWN)
        return key.created_by or AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


def find_key(*, token: str, now: datetime) -> ApiKey | None:
    """The live key of a token, its role lowered to what its creator still has; None for every other token."""
    parts = token.split("_")
    if len(parts) != 4 or parts[0] != KEY_MARK or checksum(parts[1] + parts[2]) != parts[3]:
        return None
    key = ApiKey.objects.select_related("team", "created_by").filter(prefix=parts[1]).first()
    if key is None or not key.matches(token) or not key.is_live(now):
        return None
    role = _role_today(key)
    if role is None:
        return None
    key.role = role
    _note_use(key, now)
    return key


def _role_today(key: ApiKey) -> str | None:
    """A key ends with its creator's account or membership, and sinks with their role."""
    creator: Any = key.created_by
    if creator is None:
        return key.role
    if not creator.is_active:
        return None
    member = Member.objects.filter(team_id=key.team_id, user=creator).first()
    if member is None:
        return key.role if creator.is_superuser else None
    return key.role if creator.is_superuser else max(key.role, member.role, key=lambda role: RANK[role])


def _note_use(key: ApiKey, now: datetime) -> None:
    if key.last_used_at is None or now - key.last_used_at > SEEN_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
