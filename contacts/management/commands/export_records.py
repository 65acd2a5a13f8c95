"""Export companies, deals or records of a type of one's own as CSV, streamed."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from contacts.exports import csv_lines
from contacts.management.kinds import kind_named
from contacts.management.lines import write_lines
from crm.models import AuditEntry


class Command(BaseCommand):
    """Exit codes: 0 written, 2 the team or the kind of record is unknown or the file cannot be written."""

    help = "Export companies, deals or own records of a team as CSV that spreadsheets open without running formulas."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", required=True, metavar="SLUG")
        parser.add_argument("--model", required=True, metavar="KIND", help="companies, deals or the key of a type.")
        parser.add_argument("--output", type=Path, metavar="FILE", help="Default: standard output.")

    def handle(self, *args: Any, **options: Any) -> None:
        kind = kind_named(team=options["team"], name=options["model"])
        lines = csv_lines(rows=kind.rows(), team=kind.team, kind=kind.type)
        count = write_lines(lines, options["output"], self.stdout) - 1
        AuditEntry.record(
            team=kind.team,
            action=f"{kind.resource}.export",
            actor_label="export_records",
            details={kind.resource: count, **({"type": kind.type.key} if kind.type is not None else {})},
        )
        if options["output"]:
            sys.stderr.write(f"{count} {options['model']} written to {options['output']}\n")
