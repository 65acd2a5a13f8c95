"""Who did what to which record: append-only."""

from typing import Any

from django.conf import settings
from django.db import models

from crm.models.base import TeamScopedQuerySet
from crm.models.team import Team


class AuditEntry(models.Model):
    """One fact; values of personal fields are never copied here."""

    team_lookup = "team"

    team = models.ForeignKey(Team, null=True, on_delete=models.CASCADE, related_name="+", db_index=False)
    at = models.DateTimeField(auto_now_add=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    actor_label = models.CharField(max_length=120, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    action = models.CharField(max_length=60)
    target = models.CharField(max_length=120, blank=True)
    details = models.JSONField(default=dict, blank=True)

    objects = TeamScopedQuerySet["AuditEntry"].as_manager()

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["team", "-id"], name="audit_team")]

    def __str__(self) -> str:
        return f"{self.action} {self.target}"

    @classmethod
    def record(
        cls,
        *,
        team: Team | None,
        action: str,
        target: object = "",
        actor: Any = None,
        actor_label: str = "",
        address: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> "AuditEntry":
        """Write one fact; `target` becomes `app.model:pk` for a model instance."""
        if isinstance(target, models.Model):
            target = f"{target._meta.label_lower}:{target.pk}"
        known = actor if getattr(actor, "pk", None) else None
        return cls.objects.create(
            team=team,
            action=action,
            target=str(target)[:120],
            actor=known,
            actor_label=(actor_label or str(known or ""))[:120],
            address=address,
            details=details or {},
        )
