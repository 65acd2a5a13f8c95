"""Import companies, deals or records of a type of one's own from a CSV file, such as one that export_records wrote."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from contacts.imports.mapping import ColumnMap, MappingProblem
from contacts.imports.records.batch import KindGone
from contacts.imports.records.columns import key_named, map_columns
from contacts.imports.records.preview import preview_lines
from contacts.imports.records.reading import Options, Result, import_records
from contacts.imports.records.shape import ID, Shape, shape_of
from contacts.imports.refused import Refused, RefusedFile
from contacts.management.importing import INTERRUPTED, UNREADABLE, given_columns, open_errors, result_lines
from contacts.management.kinds import Kind, kind_named
from contacts.management.progress import ProgressLine
from crm.csv_files import FileBytes, Table, UnreadableFile, inspect
from crm.models import AuditEntry

Refuse = Callable[[Sequence[Refused]], object]


class Command(BaseCommand):
    """Exit codes: 0 every row was taken, 1 some rows failed, 2 nothing could be read, 130 stopped in the middle."""

    help = (
        "Import companies, deals or own records of a team from a CSV file. Rows change the records whose id they name, "
        "or with another --key make those that are missing. Importing a file again changes nothing more."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--team", required=True, metavar="SLUG")
        parser.add_argument("--model", required=True, metavar="KIND", help="companies, deals or the key of a type.")
        parser.add_argument(
            "--key",
            default=ID,
            metavar="COLUMN",
            help="What records are recognized by: id (the default), which only changes, or a name, title or own field,"
            " by which missing ones are created.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Do everything and undo it, for the numbers.")
        parser.add_argument("--no-enroll", action="store_true", help="Start no pipeline.")
        parser.add_argument("--clear-empty", action="store_true", help="Let an empty cell take a value away.")
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="COLUMN=FIELD",
            help="Fill FIELD (as an export titles it, its label, or - for nothing) from COLUMN; may be repeated.",
        )
        parser.add_argument("--errors", type=Path, metavar="FILE", help="Default: FILE.errors.csv")
        parser.add_argument("--encoding", metavar="NAME", help="Default: found out from the file.")
        parser.add_argument("--json", action="store_true", help="Print the result as JSON alone.")

    def handle(self, *args: Any, **options: Any) -> None:
        kind = kind_named(team=options["team"], name=options["model"])
        shape = shape_of(team=kind.team, model=kind.model, type=kind.type)
        errors = options["errors"] or Path(f"{options['file']}.errors.csv")
        try:
            key = key_named(shape, options["key"])
            table = inspect(source=FileBytes(options["file"]), encoding=options["encoding"])
            given = given_columns(options["map"])
            columns = map_columns(shape=shape, header=table.header, given=given, key=key)
        except (UnreadableFile, MappingProblem) as problem:
            raise CommandError(str(problem), returncode=UNREADABLE) from problem
        if errors.exists() and errors.samefile(options["file"]):
            raise CommandError(f"{errors} is the file that is imported.", returncode=UNREADABLE)
        if not options["json"]:
            for line in preview_lines(table=table, columns=columns, key=key):
                self.stdout.write(line)
        wishes = Options(
            key=key,
            enroll=not options["no_enroll"],
            clear=options["clear_empty"],
            dry_run=options["dry_run"],
        )
        result = self._import(kind, shape, table, columns, wishes, errors, options)
        self._end(result, errors, options)

    def _import(
        self,
        kind: Kind,
        shape: Shape,
        table: Table,
        columns: ColumnMap,
        wishes: Options,
        errors: Path,
        options: Mapping[str, Any],
    ) -> Result:
        """What was written is in the audit log, however it ends."""
        done = Result()
        with ExitStack() as stack:
            refused = RefusedFile(open_sink=lambda: stack.enter_context(open_errors(errors)), header=table.header)
            bar = stack.enter_context(ProgressLine(stream=sys.stderr, quiet=options["json"]))

            def progress(result: Result) -> None:
                nonlocal done
                done = result
                bar.show(result.rows, table.row_count)

            try:
                import_records(
                    shape=shape, table=table, columns=columns, options=wishes, refuse=refused.write, progress=progress
                )
            except KindGone as gone:
                message = f"{gone} Stopped behind row {done.rows:,} of {table.row_count:,}."
                raise CommandError(message, returncode=UNREADABLE) from None
            except KeyboardInterrupt:
                message = f"Stopped behind row {done.rows:,} of {table.row_count:,}. The same command does the rest."
                raise CommandError(message, returncode=INTERRUPTED) from None
            finally:
                if not wishes.dry_run and done.rows:
                    _audit(kind, done)
        return done

    def _end(self, result: Result, errors: Path, options: Mapping[str, Any]) -> None:
        report = str(errors) if result.failed or result.skipped else ""
        if options["json"]:
            answer = {**result.as_dict(), "dry_run": options["dry_run"], "errors_file": report}
            self.stdout.write(json.dumps(answer))
        else:
            for line in result_lines(result.as_dict(), report=report, dry_run=options["dry_run"]):
                self.stdout.write(line)
        if result.failed:
            sys.exit(1)


def _audit(kind: Kind, result: Result) -> None:
    numbers = {name: value for name, value in result.as_dict().items() if name != "pipelines"}
    type_ = {"type": kind.type.key} if kind.type is not None else {}
    AuditEntry.record(
        team=kind.team, action=f"{kind.resource}.import", actor_label="import_records", details={**numbers, **type_}
    )
