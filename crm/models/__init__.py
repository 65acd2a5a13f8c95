"""Tables of the ground floor."""

from crm.models.api_key import ApiKey
from crm.models.audit import AuditEntry
from crm.models.base import TeamScoped, TeamScopedQuerySet
from crm.models.consent import ConsentEntry, Subscription, Topic
from crm.models.idempotency import IdempotentRequest
from crm.models.integration import Device, Integration, OptIn
from crm.models.member import Member, Role
from crm.models.message import Message, MessageTemplate, Notification, Suppression
from crm.models.message_event import MessageEvent
from crm.models.secret import Secret
from crm.models.task import Task
from crm.models.team import Team

__all__ = [
    "ApiKey",
    "AuditEntry",
    "ConsentEntry",
    "Device",
    "IdempotentRequest",
    "Integration",
    "Member",
    "Message",
    "MessageEvent",
    "MessageTemplate",
    "Notification",
    "OptIn",
    "Role",
    "Secret",
    "Subscription",
    "Suppression",
    "Task",
    "Team",
    "TeamScoped",
    "TeamScopedQuerySet",
    "Topic",
]
