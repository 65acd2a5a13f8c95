"""Counts the statements of the engine at work, and those of its housekeeping never."""

from collections.abc import Callable

from django.db import connection
from django.test.utils import CaptureQueriesContext

from pipelines.engine.outgoing.hearing import anybody_hears, forget_hearers
from pipelines.models import EngineState
from pipelines.subjects import subject_types


def statements(work: Callable[[], object]) -> int:
    """How many statements `work` takes, which is to be done within five seconds."""
    _keep_house()
    with CaptureQueriesContext(connection) as queries:
        work()
    # Twice a minute the clock of the server is read by whoever is just at work.
    return sum("clock_timestamp()" not in query["sql"] for query in queries)


def _keep_house() -> None:
    """Whether the sweep's mark moves, which takes four, depends on who else has a transaction open on the server;
    whether there is any webhook is asked every five seconds.
    """
    for label in subject_types():
        EngineState.objects.update_or_create(name=f"sweep:{label}", defaults={"data": {"after": 10**9}})
    forget_hearers()
    anybody_hears()
