"""Pages of contacts, companies, deals and what happened to them."""

from contacts.admin import contact, field_definitions, imports, own_records, records, segments

__all__ = ["contact", "field_definitions", "imports", "own_records", "records", "segments"]
