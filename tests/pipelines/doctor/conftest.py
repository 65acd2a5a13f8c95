"""An installation in good health, and the doctor as a person or a program calls it."""

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.tick import process_due_runs
from pipelines.models import PipelineRun
from pipelines.partitions import ensure_partitions
from pipelines.tasks import ensure_schedule
from tests.pipelines.engine.building import active

Doctor = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def team(db: None) -> Team:
    return Team.objects.create(name="Acme", slug="acme")


@pytest.fixture
def healthy(team: Team) -> None:
    """One schedule, this month's partitions, and a tick a moment ago."""
    ensure_schedule()
    ensure_partitions(timezone.now())
    process_due_runs()


@pytest.fixture
def waiting_run(healthy: None, team: Team) -> PipelineRun:
    """A run that waits for three days before its only step."""
    active(team, [{"type": "wait", "delay": "3d"}])
    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@acme.example")
    process_due_runs()
    return PipelineRun.objects.get(subject_id=contact.pk)


@pytest.fixture
def doctor() -> Doctor:
    """Exit status and answer of `doctor --json`."""

    def call(*options: str) -> tuple[int, dict[str, Any]]:
        status, text = tell(*options, "--json")
        return status, json.loads(text)

    return call


def tell(*options: str) -> tuple[int, str]:
    """Exit status and output of `doctor`."""
    output, status = StringIO(), 0
    try:
        call_command("doctor", *options, stdout=output)
    except SystemExit as end:
        status = int(end.code or 0)
    return status, output.getvalue()


def found(answer: dict[str, Any]) -> dict[str, Any]:
    """Findings by code."""
    return {finding["code"]: finding for finding in answer["findings"]}


def ago(**span: float) -> Any:
    return timezone.now() - timedelta(**span)
