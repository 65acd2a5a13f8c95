"""Take in, or give out, the addresses of a team that get no mail, as CSV."""

import json
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from crm.csv_files import FileBytes, UnreadableFile, inspect
from crm.models import AuditEntry, Suppression, Team
from crm.suppression_files import COLUMNS, Refusal, take
from crm.tables import SafeWriter, csv_lines


class Command(BaseCommand):
    """`suppressions import FILE`, `suppressions export`; exit status 1 when rows failed, 2 when nothing was read."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        ways = parser.add_subparsers(dest="way", required=True)
        taking = ways.add_parser("import", help="columns: address (or email), reason, topic, source")
        taking.add_argument("file", type=Path, metavar="FILE")
        taking.add_argument("--source", default="", help="what stands as source where the file names none")
        taking.add_argument("--dry-run", action="store_true", help="read everything, write nothing")
        taking.add_argument("--errors", type=Path, metavar="FILE", help="where rows go that cannot be taken")
        taking.add_argument("--json", action="store_true", help="print the counts as JSON")
        giving = ways.add_parser("export", help="all of them, with their reasons")
        giving.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
        for each in (taking, giving):
            each.add_argument("--team", required=True, metavar="SLUG")

    def handle(self, *args: Any, **options: Any) -> None:
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            raise CommandError(f"There is no team {options['team']}.", returncode=2)
        if options["way"] == "import":
            self._take(team, options)
        else:
            self._give(team, options["output"])

    def _take(self, team: Team, options: dict[str, Any]) -> None:
        source = options["source"] or f"import of {options['file'].name}"
        with ExitStack() as open_files:
            try:
                table = inspect(source=FileBytes(options["file"]))
                told = _errors(options["errors"], open_files) if options["errors"] else None
                dry = options["dry_run"]
                done = take(team=team, table=table, source=source, now=timezone.now(), dry_run=dry, told=told)
            except UnreadableFile as problem:
                raise CommandError(str(problem), returncode=2) from None
            except OSError as error:
                raise CommandError(f"{options['errors']}: {error.strerror}.", returncode=2) from None
        counts = {"new": done.new, "known": done.known, "failed": done.failed}
        if not options["dry_run"]:
            AuditEntry.record(team=team, action="suppressions.import", actor_label="suppressions", details=counts)
        words = ", ".join(f"{count} {name}" for name, count in counts.items())
        self.stdout.write(json.dumps(counts) if options["json"] else words)
        for refusal in [] if options["json"] else done.refused[:20]:
            self.stderr.write(f"line {refusal.line}: {refusal.why}")
        if done.failed:
            raise SystemExit(1)

    def _give(self, team: Team, output: Path | None) -> None:
        rows = Suppression.objects.filter(team=team).order_by("pk").values_list(*COLUMNS)
        lines = csv_lines(COLUMNS, rows.iterator(chunk_size=2000))
        AuditEntry.record(team=team, action="suppressions.export", actor_label="suppressions")
        if output is None:
            for line in lines:
                self.stdout.write(line, ending="")
            return
        try:
            with output.open("w", encoding="utf-8-sig", newline="") as file:
                file.writelines(lines)
        except OSError as error:
            raise CommandError(f"{output}: {error.strerror}.", returncode=2) from None


def _errors(path: Path, open_files: ExitStack) -> Any:
    """Writes refused rows: line, reason, and the row as it was."""
    writer = SafeWriter(open_files.enter_context(path.open("w", encoding="utf-8-sig", newline="")))
    writer.writerow(["line", "why"])

    def told(refusal: Refusal) -> None:
        writer.writerow([refusal.line, refusal.why, *refusal.cells])

    return told
