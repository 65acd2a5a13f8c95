"""What tests of imports share: a file that is brought, and a worker that works it off."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from contacts.imports.running import work_imports
from contacts.models import ContactImport


def csv_file(content: str | bytes, name: str = "people.csv") -> SimpleUploadedFile:
    raw = content.encode() if isinstance(content, str) else content
    return SimpleUploadedFile(name, raw, content_type="text/csv")


def work_off() -> None:
    """What workers do until no import is left."""
    while work_imports(clock=timezone.now, seconds=60):
        pass


def newest() -> ContactImport:
    return ContactImport.objects.order_by("-pk")[0]


def numbers_of(row: ContactImport) -> dict[str, Any]:
    """Created, updated, skipped, failed and enrolled."""
    found = row.counts or row.trial
    return {name: found[name] for name in ("created", "updated", "skipped", "failed", "enrolled")}
