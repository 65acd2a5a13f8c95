"""Pages of contacts, companies, deals and what happened to them."""

from contacts.admin import contact, records

__all__ = ["contact", "records"]
