"""Load a team, users of each role, 200 contacts and three pipelines with history to look around in."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from crm.models import Team
from pipelines.demo.load import Login, demo_exists, load_demo


class Command(BaseCommand):
    """`demo`; exit status 1 when the demo is already there."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--if-empty", action="store_true", help="do nothing where any team exists")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["if_empty"] and Team.objects.exists():
            return
        if not settings.DEBUG:
            raise CommandError("The demo has logins for strangers: it is loaded only with DEBUG=1.")
        if demo_exists():
            raise CommandError("The demo is already there.")
        # The people of the demo do not exist, so no mail server hears of them.
        settings.EMAIL_BACKEND = "crm.channels.captured.EmailBackend"
        logins = load_demo(now=timezone.now(), tell=self._tell)
        text = "\n".join(_lines(logins))
        self._keep(text)
        if not options["if_empty"]:
            # Whoever starts everything at once is told the logins when all of it runs.
            self.stdout.write(text)

    def _tell(self, text: str) -> None:
        """One line that is written over where a person watches."""
        if self.stdout.isatty():
            self.stdout.write(f"\r\033[K{text}", ending="")
            self.stdout.flush()

    def _keep(self, text: str) -> None:
        """Passwords are stored hashed, so the file is the only place to read them again."""
        path = Path(settings.VAR_DIR) / "demo-logins.txt"
        path.touch(mode=0o600)
        path.write_text(text + "\n", "utf-8")


def _lines(logins: list[Login]) -> list[str]:
    head = "Logins of the demo (also in var/demo-logins.txt):"
    return [head, *(f"  {login.role:<8} {login.username:<22} {login.password}" for login in logins)]
