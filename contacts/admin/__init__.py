"""Pages of contacts, companies, deals and what happened to them."""

from contacts.admin import contact, imports, own_records, records, segments

__all__ = ["contact", "imports", "own_records", "records", "segments"]
