"""Pages of contacts, companies, deals and what happened to them."""

from contacts.admin import contact, own_records, records, segments

__all__ = ["contact", "own_records", "records", "segments"]
