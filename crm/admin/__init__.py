"""Pages of the ground floor: people, keys, tasks, mail and the audit log."""

from crm.admin import audit, closed, consent, keys, mail, messages, people, tasks, users

__all__ = ["audit", "closed", "consent", "keys", "mail", "messages", "people", "tasks", "users"]
