"""Keys of other systems that steps may send, sealed, each with the hosts it may be sent to."""

from django.core.validators import RegexValidator
from django.db import models

from crm.models.base import TeamScoped, TeamScopedQuerySet


class Secret(TeamScoped):
    """One value that pipelines name and never see."""

    name = models.CharField(
        max_length=60,
        validators=[RegexValidator(r"^[A-Z][A-Z0-9_]{0,59}\Z", "Write capitals, digits and _, such as BILLING_KEY.")],
        help_text="Steps write it as {{ secret.NAME }} in their headers. Capitals, digits and _, such as BILLING_KEY.",
    )
    sealed = models.TextField(editable=False, help_text="Sealed.")
    ending = models.CharField(max_length=4, blank=True, editable=False, help_text="Last characters of a long value.")
    hosts = models.JSONField(default=list, help_text="Names of hosts it may be sent to.")
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    objects = TeamScopedQuerySet["Secret"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="secret_once")]

    def __str__(self) -> str:
        return self.name
