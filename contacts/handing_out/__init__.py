"""Handing out what is held of a person, for who asks by article 15 or 20 of the GDPR."""

from contacts.handing_out.archive import write_archive
from contacts.handing_out.reading import HandedOut, hand_out, json_pieces

__all__ = ["HandedOut", "hand_out", "json_pieces", "write_archive"]
