"""Import contacts from a CSV file: preview, dry run, progress, a file of refused rows, and going on after a stop."""

import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from contacts.imports.apply import ErrorsFile, Existing, Options, Result, Stopped, import_table
from contacts.imports.files import digest_of
from contacts.imports.lifecycle import Choices, begin_running, draft
from contacts.imports.mapping import (
    EMAIL,
    ColumnMap,
    MappingProblem,
    check_columns,
    full_key,
    map_columns,
)
from contacts.imports.preview import preview_lines
from contacts.imports.remembered import as_wishes, forget, recall
from contacts.imports.running import claim, report_lines, run
from contacts.imports.uploads import own_targets
from contacts.management.importing import INTERRUPTED, UNREADABLE, given_columns, open_errors, result_lines
from contacts.management.progress import ProgressLine
from contacts.models import ContactImport
from crm.csv_files import FileBytes, Table, UnreadableFile, inspect
from crm.models import Team


class Command(BaseCommand):
    """Exit codes: 0 every row was taken, 1 some rows failed, 2 nothing could be read, 130 stopped in the middle."""

    help = (
        "Import contacts from a CSV file. Rows are matched within the team, by email unless --key says otherwise. "
        "Run again after a stop, it goes on where it was."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--team", required=True, metavar="SLUG")
        parser.add_argument(
            "--dry-run", action="store_true", help="Do everything and undo it: numbers, and who enters."
        )
        parser.add_argument("--no-enroll", action="store_true", help="Start no pipeline.")
        parser.add_argument(
            "--key",
            metavar="FIELD",
            help="What contacts are recognized by: email (the default), phone, external_id or custom.<key>.",
        )
        existing = parser.add_mutually_exclusive_group()
        existing.add_argument("--update", action="store_true", help="Fill in contacts that exist (the default).")
        existing.add_argument("--skip-existing", action="store_true", help="Leave contacts that exist alone.")
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="COLUMN=FIELD",
            help="Fill FIELD (or custom.<key>, or the label of a field of the team, or - for nothing) from COLUMN;"
            " may be repeated.",
        )
        parser.add_argument(
            "--unknown-as-custom",
            action="store_true",
            help="Keep columns with unknown titles as custom fields.",
        )
        parser.add_argument(
            "--forget-mapping", action="store_true", help="Forget what was chosen for these titles before."
        )
        going_on = parser.add_mutually_exclusive_group()
        going_on.add_argument("--resume", type=int, metavar="ID", help="Go on with this import, as it was begun.")
        going_on.add_argument(
            "--restart", action="store_true", help="Begin anew, though an import of FILE was stopped."
        )
        parser.add_argument("--errors", type=Path, metavar="FILE", help="Default: FILE.errors.csv")
        parser.add_argument("--encoding", metavar="NAME", help="Default: found out from the file.")
        parser.add_argument("--json", action="store_true", help="Print the result as JSON alone.")

    def handle(self, *args: Any, **options: Any) -> None:
        team = _team(options["team"])
        try:
            source = FileBytes(options["file"])
            table = inspect(source=source, encoding=options["encoding"])
            columns, key = self._columns(team, table, options)
            digest = digest_of(source)
        except (UnreadableFile, MappingProblem) as problem:
            raise CommandError(str(problem), returncode=UNREADABLE) from problem
        wishes = Options(
            existing=Existing.SKIP if options["skip_existing"] else Existing.UPDATE,
            enroll=not options["no_enroll"],
            dry_run=options["dry_run"],
            key=key,
        )
        if options["resume"] is None and not options["json"]:
            for line in preview_lines(team=team, table=table, columns=columns, key=key):
                self.stdout.write(line)
        errors = options["errors"] or Path(f"{options['file']}.errors.csv")
        if options["dry_run"]:
            self._end(self._try(team, table, columns, wishes, errors, options), errors, options)
            return
        row = self._row(team, table, digest, columns, wishes, options)
        self._end(self._import(row, source, errors, options), errors, options, row.pk)

    def _columns(self, team: Team, table: Table, options: Mapping[str, Any]) -> tuple[ColumnMap, str]:
        """As given; else as the last time for these titles; else by the titles."""
        given, key = given_columns(options["map"]), full_key(options["key"] or "")
        if options["forget_mapping"]:
            forget(team=team, header=table.header)
        before = None if given or options["unknown_as_custom"] else recall(team=team, header=table.header)
        if before is not None:
            given, key = as_wishes(before), key or before.key
            self._say(f"Columns as they were chosen on {before.used_at:%Y-%m-%d} for the same titles.", options)
        columns = map_columns(
            header=table.header,
            given=given,
            unknown="custom" if options["unknown_as_custom"] else "ignore",
            key=key or EMAIL,
            own=own_targets(team),
        )
        check_columns(columns, key=key or EMAIL)
        return columns, key or EMAIL

    def _try(
        self, team: Team, table: Table, columns: ColumnMap, wishes: Options, errors: Path, options: Mapping[str, Any]
    ) -> Result:
        """Everything is done and undone, so nothing is noted anywhere but in the file of refused rows."""
        with ExitStack() as stack:
            journal = ErrorsFile(open_sink=lambda: stack.enter_context(open_errors(errors)), header=table.header)
            with ProgressLine(stream=sys.stderr, quiet=options["json"]) as progress:
                return import_table(
                    team=team, table=table, columns=columns, options=wishes, journal=journal, progress=progress.show
                )

    def _row(
        self,
        team: Team,
        table: Table,
        digest: str,
        columns: ColumnMap,
        wishes: Options,
        options: Mapping[str, Any],
    ) -> ContactImport:
        """The import that was stopped, or a new one."""
        if options["resume"] is not None:
            return self._resumed(team, digest, options)
        targets = [column.target for column in columns.columns]
        choices = Choices(targets=targets, key=wishes.key, existing=wishes.existing, enroll=wishes.enroll)
        rows = _stopped(team).filter(
            digest=digest, targets=targets, key=choices.key, existing=choices.existing, enroll=choices.enroll
        )
        row = None if options["restart"] else rows.order_by("-pk").first()
        if row is not None:
            return self._gone_on_with(row, options)
        with transaction.atomic():
            source = ContactImport.Source.COMMAND
            row = draft(
                team=team, table=table, name=options["file"].name, choices=choices, digest=digest, source=source
            )
            begin_running(row=row, now=timezone.now())
        return row

    def _resumed(self, team: Team, digest: str, options: Mapping[str, Any]) -> ContactImport:
        row = _stopped(team).filter(pk=options["resume"]).first()
        if row is None:
            stopped = ", ".join(f"{each.pk} ({each.name})" for each in _stopped(team).order_by("-pk")[:5])
            message = f"No import {options['resume']} was stopped here. Stopped: {stopped or 'none'}."
            raise CommandError(message, returncode=UNREADABLE)
        if row.digest != digest:
            message = f"{options['file']} is not the file that import {row.pk} began with: it has other contents."
            raise CommandError(message, returncode=UNREADABLE)
        return self._gone_on_with(row, options)

    def _gone_on_with(self, row: ContactImport, options: Mapping[str, Any]) -> ContactImport:
        self._say(f"Going on with import {row.pk} behind row {row.position:,} of {row.row_count:,}.", options)
        return row

    def _import(self, row: ContactImport, source: FileBytes, errors: Path, options: Mapping[str, Any]) -> Result:
        row = claim(row=row, now=timezone.now())
        try:
            with ProgressLine(stream=sys.stderr, quiet=options["json"]) as progress:
                result = run(row=row, clock=timezone.now, source=source, progress=progress.show)
        except Stopped:
            message = f"Import {row.pk} was cancelled, or is gone on with elsewhere."
            raise CommandError(message, returncode=INTERRUPTED) from None
        except KeyboardInterrupt:
            message = f"Stopped. The same command, or --resume {row.pk}, goes on where it was."
            raise CommandError(message, returncode=INTERRUPTED) from None
        if result.reported:
            with open_errors(errors, encoding="utf-8") as file:
                file.writelines(report_lines(row))
        return result

    def _end(self, result: Result, errors: Path, options: Mapping[str, Any], number: int | None = None) -> None:
        report = str(errors) if result.reported else ""
        if options["json"]:
            answer = {**result.as_dict(), "dry_run": options["dry_run"], "errors_file": report, "import": number}
            self.stdout.write(json.dumps(answer))
        else:
            for line in result_lines(result.as_dict(), report=report, dry_run=options["dry_run"]):
                self.stdout.write(line)
        if result.failed:
            sys.exit(1)

    def _say(self, line: str, options: Mapping[str, Any]) -> None:
        if not options["json"]:
            self.stdout.write(line)


def _stopped(team: Team) -> Any:
    """Imports of the command that have not ended."""
    rows = ContactImport.objects.for_team(team).select_related("team")
    return rows.filter(source=ContactImport.Source.COMMAND, state=ContactImport.State.RUNNING)


def _team(slug: str) -> Team:
    try:
        return Team.objects.get(slug=slug)
    except Team.DoesNotExist:
        slugs = ", ".join(Team.objects.order_by("slug").values_list("slug", flat=True)[:10])
        message = f"There is no team {slug}. Teams: {slugs or 'none yet'}."
        raise CommandError(message, returncode=UNREADABLE) from None
