"""What the engine does once a day."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django import Settings

from crm.models import Team
from pipelines.engine.clock import pretend
from pipelines.engine.upkeep import keep_up
from pipelines.models import EngineState, HookDelivery
from pipelines.triggers.hooks import open_hook
from tests.pipelines.engine.building import NOON, active, email


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


@pytest.mark.django_db
def test_what_others_posted_is_forgotten_in_time_unless_it_still_waits(team: Team, settings: Settings) -> None:
    settings.PIPELINES_HOOK_DAYS = 30
    pipeline = active(team, [email()], triggers=[{"type": "webhook", "key": "posted"}])
    hook = open_hook(trigger=pipeline.triggers.get(), name="Form", signed=True).hook
    State = HookDelivery.State
    for name, days, state in (("old", 31, State.DONE), ("failed", 31, State.FAILED), ("young", 29, State.DONE),
                              ("waits", 31, State.RECEIVED)):  # fmt: skip
        at, body = NOON - timedelta(days=days), {"email": f"{name}@example.org"}
        HookDelivery.objects.create(hook=hook, message_id=name, body=body, at=at, state=state)
    keep_up(now=NOON, last=None)
    assert sorted(HookDelivery.objects.values_list("body__email", flat=True)) == [
        "waits@example.org", "young@example.org",
    ]  # fmt: skip
    other = Team.objects.create(name="Other", slug="other")
    for owner, left in ((other, 2), (team, 1)):
        with pretend(NOON):
            call_command("pipelines", "prune", "--team", owner.slug, "--deliveries-older-than", "1", stdout=StringIO())
        assert HookDelivery.objects.count() == left
