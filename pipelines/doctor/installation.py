"""Code, database and settings: whether they belong together."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.core.checks import WARNING, run_checks
from django.db import DatabaseError, connection
from django.utils import timezone

from crm import health
from pipelines.doctor.findings import SHOWN, Clocks, Finding
from pipelines.partitions import ensure_partitions, missing_partitions

CLOCK_TOLERANCE: Final = timedelta(seconds=30)


def database() -> Sequence[Finding]:
    """It answers, and its tables are those of this code; nothing else can be examined before."""
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        return [
            Finding(
                code="database.unreachable",
                problem=f"The database does not answer ({type(error).__name__}).",
                advice="See DATABASE_URL, and whether the server runs and lets us in.",
            )
        ]
    _, well, detail = health.migrations()
    if well:
        return []
    advice = "Run `manage.py migrate`."
    return [Finding(code="database.migrations", problem=f"Migrations are missing: {detail}", advice=advice)]


def settings() -> Sequence[Finding]:
    """Failing system checks, each with its own hint."""
    failing = [message for message in run_checks() if message.level >= WARNING and not message.is_silenced()]
    return [
        Finding(
            code="settings.check",
            problem=f"{message.id}: {message.msg}",
            ids=(str(message.id),),
            advice=message.hint or "`manage.py check` shows where.",
        )
        for message in failing
    ]


def partitions(clocks: Clocks) -> Sequence[Finding]:
    """Rows of a month without a partition fall into the default one, where they cost more."""
    missing = missing_partitions(clocks.real_now)
    if not missing:
        return []

    def repair() -> str:
        return f"created {len(ensure_partitions(clocks.real_now))}"

    return [
        Finding(
            code="database.partitions",
            problem=f"{len(missing)} monthly partitions of the logs are missing.",
            count=len(missing),
            ids=tuple(partition.name for partition in missing[:SHOWN]),
            advice="doctor --fix creates them.",
            repair=repair,
        )
    ]


def clock(clocks: Clocks) -> Sequence[Finding]:
    """The queue compares the clocks of machines, the engine that of the database."""
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        theirs: datetime = cursor.fetchone()[0]
    apart = abs(timezone.now() - theirs)
    if apart < CLOCK_TOLERANCE:
        return []
    return [
        Finding(
            code="clock.apart",
            problem=f"This machine's clock and the database's are {apart.total_seconds():.0f} seconds apart.",
            advice="Set both by NTP: the queue's locks are compared by the clocks of the machines.",
        )
    ]
