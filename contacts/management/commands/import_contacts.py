"""Import contacts from a CSV file: preview, dry run, progress and a file of refused rows."""

import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from contacts.imports.apply import Existing, Options, Result, import_table
from contacts.imports.mapping import ColumnMap, MappingProblem, map_columns
from contacts.imports.preview import preview_lines
from contacts.management.progress import ProgressLine
from crm.csv_files import FileBytes, Table, UnreadableFile, inspect
from crm.models import AuditEntry, Team

UNREADABLE = 2


class Command(BaseCommand):
    """Exit codes: 0 every row was taken, 1 some rows failed, 2 nothing could be read."""

    help = "Import contacts from a CSV file. Rows are matched by email within the team."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--team", required=True, metavar="SLUG")
        parser.add_argument("--dry-run", action="store_true", help="Read everything, write nothing.")
        parser.add_argument("--no-enroll", action="store_true", help="Start no pipeline.")
        existing = parser.add_mutually_exclusive_group()
        existing.add_argument("--update", action="store_true", help="Fill in contacts that exist (the default).")
        existing.add_argument("--skip-existing", action="store_true", help="Leave contacts that exist alone.")
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="COLUMN=FIELD",
            help="Fill FIELD (or custom.<key>, or - for nothing) from COLUMN; may be repeated.",
        )
        parser.add_argument(
            "--unknown-as-custom",
            action="store_true",
            help="Keep columns with unknown titles as custom fields.",
        )
        parser.add_argument("--errors", type=Path, metavar="FILE", help="Default: FILE.errors.csv")
        parser.add_argument("--encoding", metavar="NAME", help="Default: found out from the file.")
        parser.add_argument("--json", action="store_true", help="Print the result as JSON alone.")

    def handle(self, *args: Any, **options: Any) -> None:
        team = _team(options["team"])
        try:
            table = inspect(source=FileBytes(options["file"]), encoding=options["encoding"])
            columns = map_columns(
                header=table.header,
                given=_given(options["map"]),
                unknown="custom" if options["unknown_as_custom"] else "ignore",
            )
        except (UnreadableFile, MappingProblem) as problem:
            raise CommandError(str(problem), returncode=UNREADABLE) from problem
        if not options["json"]:
            for line in preview_lines(team=team, table=table, columns=columns):
                self.stdout.write(line)
        errors = options["errors"] or Path(f"{options['file']}.errors.csv")
        result = self._import(team, table, columns, errors, options)
        self._tell(result, errors, options)
        if result.failed:
            sys.exit(1)

    def _import(
        self,
        team: Team,
        table: Table,
        columns: ColumnMap,
        errors: Path,
        options: Mapping[str, Any],
    ) -> Result:
        wishes = Options(
            existing=Existing.SKIP if options["skip_existing"] else Existing.UPDATE,
            enroll=not options["no_enroll"],
            dry_run=options["dry_run"],
        )
        with ExitStack() as stack:

            def open_errors() -> TextIO:
                try:
                    file = errors.open("w", encoding="utf-8-sig", newline="")
                except OSError as error:
                    message = f"The errors file {errors} cannot be written: {error.strerror}."
                    raise CommandError(message, returncode=UNREADABLE) from error
                return stack.enter_context(file)

            with ProgressLine(stream=sys.stderr, quiet=options["json"]) as progress:
                result = import_table(
                    team=team,
                    table=table,
                    columns=columns,
                    options=wishes,
                    open_errors=open_errors,
                    progress=progress.show,
                )
        if not wishes.dry_run:
            AuditEntry.record(
                team=team,
                action="contacts.import",
                actor_label="import_contacts",
                details=result.as_dict(),
            )
        return result

    def _tell(self, result: Result, errors: Path, options: Mapping[str, Any]) -> None:
        report = str(errors) if result.reported else ""
        if options["json"]:
            answer = {**result.as_dict(), "dry_run": options["dry_run"], "errors_file": report}
            self.stdout.write(json.dumps(answer))
            return
        did = "would be " if options["dry_run"] else ""
        self.stdout.write(
            f"{result.rows} rows: {result.created} {did}created, {result.updated} {did}updated, "
            f"{result.skipped} skipped, {result.failed} failed. {result.enrolled} runs started."
        )
        if report:
            self.stdout.write(f"Rows that were not taken, with the reasons: {report}")


def _team(slug: str) -> Team:
    try:
        return Team.objects.get(slug=slug)
    except Team.DoesNotExist:
        slugs = ", ".join(Team.objects.order_by("slug").values_list("slug", flat=True)[:10])
        message = f"There is no team {slug}. Teams: {slugs or 'none yet'}."
        raise CommandError(message, returncode=UNREADABLE) from None


def _given(pairs: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for pair in pairs:
        title, equals, target = pair.rpartition("=")
        if not equals:
            message = f"--map {pair}: write COLUMN=FIELD, such as --map 'Work mail=email'."
            raise CommandError(message, returncode=UNREADABLE)
        given[title.strip()] = target.strip()
    return given
