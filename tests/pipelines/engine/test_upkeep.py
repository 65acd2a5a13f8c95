"""What the engine does once a day."""

from datetime import UTC, datetime

import pytest
from django.db import connection

from pipelines.engine.upkeep import keep_up
from pipelines.models import EngineState


@pytest.mark.django_db
def test_the_months_ahead_are_made_before_they_come() -> None:
    keep_up(now=datetime(2031, 5, 20, tzinfo=UTC), last=None)
    assert EngineState.objects.get(name="upkeep").at == datetime(2031, 5, 20, tzinfo=UTC)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('pipelines_stepexecution_2031_06') IS NOT NULL")
            assert cursor.fetchone() == (True,)


@pytest.mark.django_db
def test_it_is_done_once_a_day() -> None:
    def done(now: datetime) -> bool:
        last = EngineState.objects.filter(name="upkeep").values_list("at", flat=True).first()
        return keep_up(now=now, last=last)

    assert done(datetime(2031, 5, 20, 1, tzinfo=UTC))
    assert not done(datetime(2031, 5, 20, 23, tzinfo=UTC))
    assert done(datetime(2031, 5, 21, 2, tzinfo=UTC))
