"""Keys for programs: 160 random bits, shown once, stored only as a hash."""

import hashlib
import hmac
import secrets
import zlib
from datetime import datetime

from django.conf import settings
from django.db import models

from crm.models.base import TeamScoped, TeamScopedQuerySet
from crm.models.member import Role

KEY_MARK = "crmk"


def new_token() -> str:
    """A key such as `crmk_<8>_<32>_<6>`: own mark, prefix, secret and checksum, so scanners can find it."""
    prefix, secret = secrets.token_hex(4), secrets.token_hex(20)
    return f"{KEY_MARK}_{prefix}_{secret}_{checksum(prefix + secret)}"


def checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()) & 0xFFFFFF:06x}"


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class ApiKey(TeamScoped):
    """A key of a team: it acts with a role, narrowed by scopes, until it expires or is revoked."""

    name = models.CharField(max_length=120)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    scopes = models.JSONField(
        default=list,
        blank=True,
        help_text='Such as ["contacts:read", "pipelines:write"]; empty means all the role may do.',
    )
    prefix = models.CharField(max_length=8, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScopedQuerySet["ApiKey"].as_manager()

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def __str__(self) -> str:
        return f"{self.name} ({KEY_MARK}_{self.prefix}…)"

    def matches(self, token: str) -> bool:
        return hmac.compare_digest(self.digest, hash_token(token))

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)
