"""The audit log and notifications, to read only."""

from django.contrib import admin

from crm.models import AuditEntry, Notification
from crm.scoping import TeamScopedReadOnlyAdmin


@admin.register(AuditEntry)
class AuditEntryAdmin(TeamScopedReadOnlyAdmin[AuditEntry]):
    """Who did what, newest first; nobody can change or delete a line."""

    nothing = "What people, keys and the system do in this team is written down here, and never changed."
    list_display = ["at", "action", "target", "who", "address"]
    list_filter = ["at"]
    search_fields = ["action", "target", "actor_label"]
    ordering = ["-id"]
    list_select_related = ["actor"]

    @admin.display(description="Actor")
    def who(self, entry: AuditEntry) -> str:
        return entry.actor_label or "—"


@admin.register(Notification)
class NotificationAdmin(TeamScopedReadOnlyAdmin[Notification]):
    """Notes that pipelines left for the signed-in person."""

    nothing = "Steps of pipelines that notify you write here."
    list_display = ["title", "user", "created_at", "read_at"]
    list_filter = ["created_at"]
    search_fields = ["title"]
    ordering = ["-id"]
    list_select_related = ["user"]
