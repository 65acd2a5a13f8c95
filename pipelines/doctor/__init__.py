"""Examines an installation: what is wrong, how much of it, and what helps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.doctor import installation, runs, schedule, versions, work
from pipelines.doctor.findings import Clocks, Examination, Finding
from pipelines.engine.clock import engine_now, real_now

__all__ = ["EXAMINATIONS", "Finding", "Mended", "examine", "mend"]

EXAMINATIONS: Final[tuple[Examination, ...]] = (
    installation.partitions,
    installation.clock,
    schedule.schedule_of_the_tick,
    schedule.malformed_schedules,
    schedule.failed_ticks,
    work.no_tick,
    work.held_after_restore,
    runs.stuck_runs,
    runs.overdue_runs,
    runs.expired_leases,
    runs.miscounted_children,
    runs.quarantined_runs,
    runs.suspicious_steps,
    versions.unreadable_versions,
    versions.held_versions,
    work.mail_outage,
    work.provider_outages,
    work.uncertain_messages,
    work.failed_enrollments,
    work.silence_and_lateness,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """A finding and what was done about it."""

    finding: Finding
    done: str


def examine(*, minutes: int) -> list[Finding]:
    """Everything that is wrong now; runs count as overdue after that many minutes."""
    found = [*installation.settings(), *installation.database()]
    if any(finding.code.startswith("database.") for finding in found):
        return found
    clocks = Clocks(now=engine_now(), real_now=real_now(), minutes=minutes)
    for examination in EXAMINATIONS:
        found += examination(clocks)
    return found


def mend(findings: Sequence[Finding]) -> list[Mended]:
    """Repair what can be repaired without a person's judgement."""
    return [Mended(finding=finding, done=finding.repair()) for finding in findings if finding.repair is not None]
