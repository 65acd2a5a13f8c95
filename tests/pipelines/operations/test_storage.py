"""What the database itself promises about logs and versions."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from crm.models import Team
from pipelines.immutability import is_installed
from pipelines.models import Pipeline, PipelineVersion, StepExecution
from pipelines.partitions import ensure_partitions, missing_partitions

pytestmark = pytest.mark.django_db


def _visit(at: datetime) -> StepExecution:
    return StepExecution.objects.create(at=at, run_id=1, step_id=1, seq=1, event=0, started_at=at, finished_at=at)


def _tables_of(visit: StepExecution) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM pipelines_stepexecution WHERE id = %s", [visit.pk])
        return str(cursor.fetchone()[0])


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has partitions")
def test_a_log_row_lands_in_the_partition_of_its_month() -> None:
    now = timezone.now()
    assert _tables_of(_visit(now)) == f"pipelines_stepexecution_{now:%Y_%m}"


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has partitions")
def test_a_row_of_a_month_without_partition_moves_when_the_partition_is_made() -> None:
    later = datetime(2031, 5, 20, tzinfo=UTC)
    visit = _visit(later)
    assert _tables_of(visit) == "pipelines_stepexecution_default"
    with transaction.atomic():
        created = ensure_partitions(later)
    assert "pipelines_stepexecution_2031_05" in created
    assert _tables_of(visit) == "pipelines_stepexecution_2031_05"
    assert StepExecution.objects.get(pk=visit.pk).at == later


def test_making_partitions_twice_makes_nothing_new() -> None:
    now = datetime(2032, 12, 31, 23, 59, tzinfo=UTC)
    ensure_partitions(now)
    assert ensure_partitions(now) == []
    assert missing_partitions(now) == []


@pytest.mark.parametrize("column", ["document", "program", "checksum", "number"])
def test_a_published_version_cannot_be_changed(column: str) -> None:
    version = _version()
    changed = {"document": {"a": 2}, "program": {"b": 2}, "checksum": "y", "number": 9}[column]
    with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
        PipelineVersion.objects.filter(pk=version.pk).update(**{column: changed})


def test_the_note_of_a_version_can_be_changed() -> None:
    version = _version()
    version.note = "Spring wording"
    version.save()
    assert PipelineVersion.objects.get(pk=version.pk).note == "Spring wording"
    assert is_installed()


def _version() -> PipelineVersion:
    team = Team.objects.create(name="Sales", slug="sales")
    pipeline = Pipeline.objects.create(team=team, key="welcome", name="Welcome")
    return PipelineVersion.objects.create(
        pipeline=pipeline, number=1, document={"a": 1}, program={"b": 1}, checksum="x"
    )


def test_partitions_cover_this_month_and_the_next_two() -> None:
    now = datetime(2033, 11, 30, tzinfo=UTC)
    wanted = {partition.start.month for partition in missing_partitions(now)}
    assert wanted in ({11, 12, 1}, set())
    assert all(p.end - p.start >= timedelta(days=28) for p in missing_partitions(now))
