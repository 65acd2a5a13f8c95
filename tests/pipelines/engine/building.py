"""Pipelines for tests: a document in, an active pipeline out."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from crm.models import Team
from pipelines.models import Pipeline, PipelineRun, StepExecution
from pipelines.operations import import_document

NOON = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
AUTOMATIC = {"type": "created", "model": "contacts.contact", "automatic": True}


def document(steps: Sequence[dict[str, Any]], *, key: str = "welcome", **more: Any) -> dict[str, Any]:
    """A definition about contacts that every new contact enters."""
    return {
        "format": "crm.pipeline/1",
        "key": key,
        "name": key.replace("_", " ").title(),
        "subject": "contacts.contact",
        "triggers": [AUTOMATIC],
        "steps": list(steps),
        **more,
    }


def active(team: Team, steps: Sequence[dict[str, Any]], *, key: str = "welcome", **more: Any) -> Pipeline:
    return import_document(team=team, document=document(steps, key=key, **more), activate=True)


def email(text: str = "Hello {{ contact.first_name }}", *, subject: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"type": "send_email", "with": {"subject": subject, "text": text}, **more}


def later(**span: float) -> datetime:
    return NOON + timedelta(**span)


def log(run: PipelineRun) -> list[tuple[int, str, str | None]]:
    """(visit, event, outcome) of a run in order."""
    rows = StepExecution.objects.filter(run_id=run.pk).order_by("id")
    return [(row.seq, row.get_event_display(), row.outcome) for row in rows]
