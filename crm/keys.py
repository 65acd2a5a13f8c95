"""Making and revoking API keys."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError

from crm.models import ApiKey, Team
from crm.models.api_key import hash_token, new_token
from crm.permissions import MATRIX

SCOPES = [f"{resource}:{way}" for resource in ("*", *MATRIX) for way in ("read", "write")]


def create_key(
    *,
    team: Team,
    name: str,
    role: str,
    scopes: Collection[str] = (),
    expires_at: datetime | None = None,
    created_by: Any = None,
) -> tuple[ApiKey, str]:
    """A new key and its token, which is stored nowhere and can never be shown again."""
    validate_scopes(list(scopes))
    token = new_token()
    key = ApiKey.objects.create(
        team=team,
        name=name,
        role=role,
        scopes=list(scopes),
        expires_at=expires_at,
        created_by=created_by,
        prefix=token.split("_")[1],
        digest=hash_token(token),
    )
    return key, token


def validate_scopes(scopes: list[str]) -> None:
    """Refuse words that are not scopes: a misspelled one would silently withhold everything."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise ValidationError(f"Unknown scopes: {', '.join(unknown)}. Use such as contacts:read or pipelines:write.")


def revoke_keys(*, keys: Any, now: datetime) -> int:
    """End keys at once; returns how many were live."""
    return int(keys.filter(revoked_at__isnull=True).update(revoked_at=now))
