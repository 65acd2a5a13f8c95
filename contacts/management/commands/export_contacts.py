"""Export contacts as CSV or as JSON lines, streamed."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from contacts.exports import csv_lines, json_lines
from contacts.management.lines import write_lines
from contacts.models import Contact
from contacts.queries import search
from crm.models import AuditEntry, Team


class Command(BaseCommand):
    """Exit codes: 0 written, 2 the team is unknown or the file cannot be written."""

    help = "Export the contacts of a team as CSV that spreadsheets open without running formulas."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", required=True, metavar="SLUG")
        parser.add_argument("--output", type=Path, metavar="FILE", help="Default: standard output.")
        parser.add_argument("--query", default="", metavar="Q", help="Only contacts with these words.")
        parser.add_argument("--stage", choices=Contact.Stage.values, help="Only this stage.")
        parser.add_argument("--json", action="store_true", help="One JSON object per line.")

    def handle(self, *args: Any, **options: Any) -> None:
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            raise CommandError(f"There is no team {options['team']}.", returncode=2)
        contacts = search(contacts=Contact.objects.for_team(team), text=options["query"], team=team).order_by("pk")
        if options["stage"]:
            contacts = contacts.filter(lifecycle_stage=options["stage"])
        lines = json_lines(contacts=contacts) if options["json"] else csv_lines(rows=contacts, team=team)
        count = write_lines(lines, options["output"], self.stdout)
        count -= 0 if options["json"] else 1
        AuditEntry.record(
            team=team,
            action="contacts.export",
            actor_label="export_contacts",
            details={"contacts": count},
        )
        if options["output"]:
            sys.stderr.write(f"{count} contacts written to {options['output']}\n")
