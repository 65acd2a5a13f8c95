"""Tables of contacts."""

from contacts.models.activity import Activity
from contacts.models.company import Company
from contacts.models.contact import Contact, Tag
from contacts.models.deal import Deal
from contacts.models.field_definition import FieldDefinition
from contacts.models.importing import ContactImport, ImportKey, ImportMapping, ImportProblem
from contacts.models.record import Record, RecordType
from contacts.models.segment import Segment, SegmentChange, SegmentMembership

__all__ = [
    "Activity",
    "Company",
    "Contact",
    "ContactImport",
    "Deal",
    "FieldDefinition",
    "ImportKey",
    "ImportMapping",
    "ImportProblem",
    "Record",
    "RecordType",
    "Segment",
    "SegmentChange",
    "SegmentMembership",
    "Tag",
]
