"""Work in the background: run a django-q2 cluster and keep it running until SIGTERM or Ctrl-C."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from crm.supervisor import Limits, Supervisor


class Command(BaseCommand):
    """`worker`; one line per event, exit status 0 after a clean stop."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--stale",
            type=float,
            default=settings.WORKER_STALE_SECONDS,
            metavar="SECONDS",
            help="restart a cluster that has executed nothing for so long (default %(default)g)",
        )
        parser.add_argument(
            "--grace",
            type=float,
            default=settings.WORKER_GRACE_SECONDS,
            metavar="SECONDS",
            help="what running tasks may take to end when the worker is stopped (default %(default)g)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        limits = Limits(stale=options["stale"], grace=options["grace"])
        Supervisor(limits=limits, tell=self._tell).run()

    def _tell(self, text: str) -> None:
        self.stdout.write(f"worker: {text}")
        self.stdout.flush()
