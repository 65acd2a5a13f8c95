"""Who belongs to a team, and as what."""

from django.conf import settings
from django.db import models

from crm.models.base import TeamScoped, TeamScopedQuerySet


class Role(models.TextChoices):
    """Roles from most to least; what each may do stands in `crm.permissions`."""

    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    MANAGER = "manager", "Manager"
    MEMBER = "member", "Member"
    VIEWER = "viewer", "Viewer"


class Member(TeamScoped):
    """A user's membership in a team."""

    team = models.ForeignKey("crm.Team", on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    groups = models.JSONField(
        default=list, blank=True, help_text="What this person works in, such as sales; tasks can be given to a group."
    )
    # Of the same team, and no circle: `crm.people.require_possible_manager` says so to whoever writes it.
    manager = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="reports",
        help_text="Whom pipelines turn to about this person's work, as owner.manager.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScopedQuerySet["Member"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "user"], name="member_once_per_team"),
            models.CheckConstraint(
                condition=~models.Q(manager=models.F("pk")),
                name="member_not_own_manager",
                violation_error_message="Nobody is their own manager.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.get_role_display()})"

    @property
    def called(self) -> str:
        """Their name, else what they sign in with; of a member that was read with its user."""
        return self.user.get_full_name() or self.user.get_username()
