"""Pages of the ground floor: people, keys, tasks, mail and the audit log."""

from crm.admin import audit, channels, closed, consent, keys, mail, messages, people, secrets, tasks, users

__all__ = ["audit", "channels", "closed", "consent", "keys", "mail", "messages", "people", "secrets", "tasks", "users"]
