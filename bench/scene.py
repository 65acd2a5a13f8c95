"""What benchmarks work on: a team, contacts, and pipelines that they enter."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

from django.db import connection

from contacts.operations import bulk_create_contacts
from crm.models import Team
from pipelines.engine.clock import pretend
from pipelines.models import Pipeline
from pipelines.operations import import_document

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
LINE: Sequence[dict[str, Any]] = [
    {"key": "mark", "type": "update_record", "with": {"values": {"lead_source": "seen"}}},
    {"key": "odd", "type": "condition", "if": {"field": "contact.job_title", "operator": "equals", "value": "x"},
     "on": {"true": "end", "false": "call"}},
    {"key": "call", "type": "create_task", "with": {"title": "Call {{ contact.first_name }}"}},
]  # fmt: skip
_names = count()


def new_team() -> Team:
    number = next(_names)
    return Team.objects.create(name=f"Team {number}", slug=f"team-{number}")


def add_pipeline(team: Team, *, key: str = "bench", steps: Sequence[dict[str, Any]] = LINE) -> Pipeline:
    trigger = {"key": "auto", "type": "created", "model": "contacts.contact", "automatic": True}
    document = {"format": "crm.pipeline/1", "key": key, "name": key.title(), "subject": "contacts.contact",
                "triggers": [trigger], "steps": list(steps)}  # fmt: skip
    with pretend(NOW):
        return import_document(team=team, document=document, activate=True)


def add_contacts(team: Team, size: int) -> list[int]:
    """Contacts that enter the pipelines of the team."""
    items = [{"first_name": f"C{n}", "email": f"c{n}@x.example"} for n in range(size)]
    with pretend(NOW):
        return [contact.pk for contact in bulk_create_contacts(team=team, items=items)]


def new_pipeline(*, contacts: int, steps: Sequence[dict[str, Any]] = LINE) -> Pipeline:
    """A pipeline in a team of its own, with so many contacts who are due at its first step."""
    team = new_team()
    pipeline = add_pipeline(team, steps=steps)
    add_contacts(team, contacts)
    analyze()
    return pipeline


def analyze() -> None:
    """What the database does by itself after a while: look at what it holds."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
