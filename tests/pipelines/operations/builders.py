"""Plain builders of teams, documents and runs for the tests of operations."""

from datetime import UTC, datetime
from typing import Any

from django.contrib.contenttypes.models import ContentType

from contacts.models import Contact
from crm.models import Team
from pipelines.models import Pipeline, PipelineRun, PipelineStep
from pipelines.states import RunStatus

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def a_team(slug: str = "sales") -> Team:
    return Team.objects.create(name=slug.title(), slug=slug)


def email(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "send_email", "message": f"Text of {key}", **more}


def a_document(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "format": "crm.pipeline/1",
        "key": "welcome",
        "name": "Welcome",
        "subject": "contacts.contact",
        "triggers": [{"key": "auto", "type": "created", "model": "contacts.contact", "automatic": True}],
        "steps": list(steps) or [email("hello"), email("tips", delay=86_400), email("offer", delay=3_600)],
        **more,
    }


def a_waiting_run(pipeline: Pipeline, key: str, *, due: datetime = NOON, **more: Any) -> PipelineRun:
    """A run that waits before the step of that key."""
    contact = Contact(team=pipeline.team, first_name="Ann", email="ann@example.org")
    Contact.objects.bulk_create([contact])
    values: dict[str, Any] = {
        "pipeline": pipeline,
        "version": pipeline.current_version,
        "subject_type": ContentType.objects.get_for_model(Contact),
        "subject_id": contact.pk,
        "status": RunStatus.PENDING,
        "step": PipelineStep.objects.get(pipeline=pipeline, key=key),
        "next_step_at": due,
        "created_at": NOON,
        **more,
    }
    return PipelineRun.objects.create(**values)
