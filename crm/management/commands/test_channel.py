"""Send one real message over a channel of a team and say what came back."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from crm.models import Team
from crm.trying import TESTABLE, try_channel


class Command(BaseCommand):
    """`test_channel --team acme --channel sms --to +4915112345678`; exit status 1 when it was not accepted."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--team", required=True, help="slug of the team")
        parser.add_argument("--channel", required=True, choices=TESTABLE)
        parser.add_argument("--to", default="", help="number, address or token; none for chat")
        parser.add_argument("--json", action="store_true", help="print what came back as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            raise CommandError(f"There is no team {options['team']!r}.")
        tried = try_channel(team=team, channel=options["channel"], to=options["to"], now=timezone.now())
        if options["json"]:
            told = {"ok": tried.ok, "state": tried.state, "says": tried.says, "reference": tried.reference}
            self.stdout.write(json.dumps(told))
        elif tried.ok:
            self.stdout.write(tried.says)
        if not tried.ok:
            raise CommandError(tried.says)
