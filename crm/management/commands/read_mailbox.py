"""Read what came back to BOUNCE_MAILBOX: bounces, complaints and answers; run it every few minutes."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from crm.channels.mailbox import MailboxUnreachable, read_mailbox


class Command(BaseCommand):
    """`read_mailbox`; exit status 1 when the mailbox cannot be read."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the counts as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.BOUNCE_MAILBOX:
            raise CommandError("There is no mailbox: set BOUNCE_MAILBOX, see .env.example.")
        try:
            done = asdict(read_mailbox(settings.BOUNCE_MAILBOX, now=timezone.now))
        except MailboxUnreachable as error:
            raise CommandError(str(error)) from None
        text = json.dumps(done) if options["json"] else ", ".join(f"{count} {name}" for name, count in done.items())
        self.stdout.write(text)
