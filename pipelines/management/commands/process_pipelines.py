"""Move every due run once, or with --loop be a worker; django-q2 is not needed for it."""

import json
import signal
import time
from argparse import ArgumentParser
from dataclasses import asdict
from types import FrameType
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from pipelines.engine.tick import TickReport, process_due_runs

IDLE_SECONDS: Final = 1.0
RESTLESS_SECONDS: Final = 0.1
DATABASE_GONE_SECONDS: Final = 5.0
REPORTED: Final = ("runs", "visits", "sent", "failed", "late_seconds")


class Command(BaseCommand):
    """One pass over the due runs, or one after another until the process is asked to stop."""

    help = __doc__
    stopping = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", action="store_true", help="work until SIGTERM or Ctrl-C")
        parser.add_argument("--json", action="store_true", help="print one JSON object per pass")
        parser.add_argument(
            "--budget",
            type=float,
            default=None,
            metavar="SECONDS",
            help=f"stop a pass after that long (default {settings.PIPELINES_TICK_SECONDS:g})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["loop"]:
            report = process_due_runs(budget_seconds=options["budget"])
            self._tell(report, as_json=options["json"])
            return
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        while not self.stopping:
            self._pass(options)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        # A plain flag: a handler that sets an event can meet the lock its own thread holds.
        self.stopping = True

    def _pass(self, options: dict[str, Any]) -> None:
        try:
            close_old_connections()
            report = process_due_runs(budget_seconds=options["budget"])
        except (OperationalError, InterfaceError) as error:
            # A worker outlives its database: what was claimed has been rolled back.
            self.stderr.write(f"The database does not answer ({type(error).__name__}); trying again.")
            connection.close()
            self._rest(DATABASE_GONE_SECONDS)
            return
        if report.runs or report.sent or report.failed:
            self._tell(report, as_json=options["json"])
        if not report.more:
            self._rest(IDLE_SECONDS)

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < until:
            time.sleep(RESTLESS_SECONDS)

    def _tell(self, report: TickReport, *, as_json: bool) -> None:
        values = {name: asdict(report)[name] for name in REPORTED}
        if as_json:
            self.stdout.write(json.dumps(values))
            return
        late = f", {values['late_seconds']:.0f} s late" if values["late_seconds"] >= 1 else ""
        self.stdout.write(
            f"{values['runs']} runs moved, {values['visits']} steps done,"
            f" {values['sent']} messages sent, {values['failed']} failed{late}"
        )
