"""Run web server and worker together on a laptop until Ctrl-C."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from crm.development import Development, PortTaken
from crm.mailbox import mail_is_captured


class Command(BaseCommand):
    """`dev`; exit status 0 when it was stopped, 1 when web server or worker ended by themselves."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="where the web server listens (default 8000)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError(
                "This is for laptops: set DEBUG=1 in .env. In production run a WSGI server and `manage.py worker`."
            )
        port = options["port"]
        try:
            status = Development(port=port, tell=self._tell, greeting=_greeting).run()
        except PortTaken as error:
            raise CommandError(
                f"{error} Stop the program that holds it, or choose another: make run PORT={port + 1}"
            ) from error
        if status:
            raise SystemExit(status)

    def _tell(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _greeting(base: str) -> list[str]:
    """What there is to open, and who may."""
    pages = [("Admin", reverse("admin:index")), ("API", reverse("docs"))]
    if mail_is_captured():
        pages.append(("Mail", reverse("captured-mail")))
    lines = ["", "Running. Ctrl-C stops it.", *(f"  {name:<6} {base}{path}" for name, path in pages)]
    logins = Path(settings.VAR_DIR) / "demo-logins.txt"
    if logins.is_file():
        lines += ["", *logins.read_text("utf-8").splitlines()]
    else:
        lines += ["", "Nobody can sign in yet? manage.py createsuperuser makes the first account."]
    return [*lines, ""]
