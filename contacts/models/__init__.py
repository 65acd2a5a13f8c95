"""Tables of contacts."""

from contacts.models.activity import Activity
from contacts.models.company import Company
from contacts.models.contact import Contact, Tag
from contacts.models.deal import Deal

__all__ = ["Activity", "Company", "Contact", "Deal", "Tag"]
