"""Restore a backup, look whether one can be restored, or let a restored installation start."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.keeping.manifest import Manifest, missing_keys
from config.keeping.refusals import Refused
from config.keeping.restoring import Restored, inspect, restore_backup
from config.keeping.store import is_filled
from config.keeping.taking import check
from contacts.management.progress import ProgressLine
from pipelines.engine.hold import start


class Command(BaseCommand):
    """Exit codes: 0 done, 1 the question was not answered with yes, 2 refused, with a sentence that says why."""

    help = "Put a backup in the place of database and files. Then nothing is sent and no run moves until --start."
    # The database may be empty, or broken.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="What `backup` has written.")
        parser.add_argument("--check", action="store_true", help="Only look: every checksum, keys and migrations.")
        parser.add_argument("--force", action="store_true", help="Replace what is in the database without asking.")
        parser.add_argument(
            "--start", action="store_true", help="Let runs and messages go; without FILE: of what was restored before."
        )
        parser.add_argument("--json", action="store_true", help="Print what was done as one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path | None = options["file"]
        if path is None:
            self._start(options)
            return
        try:
            manifest = inspect(path)
            if options["check"]:
                self._check(path, options)
                return
            if is_filled() and not options["force"]:
                _ask(manifest)
            with ProgressLine(stream=sys.stderr, quiet=options["json"]) as line:
                restored = restore_backup(path, go=options["start"], progress=line.show)
        except Refused as refused:
            raise CommandError(str(refused), returncode=2) from refused
        except OSError as error:
            raise CommandError(f"{error.filename or path}: {error.strerror}.", returncode=2) from error
        self._tell(restored, as_json=options["json"])

    def _start(self, options: dict[str, Any]) -> None:
        if not options["start"]:
            raise CommandError("Name a backup to restore, or say --start.", returncode=2)
        started = start()
        if options["json"]:
            self.stdout.write(json.dumps({"started": started}))
        else:
            self.stdout.write("Runs and messages go on." if started else "Nothing was held back.")

    def _check(self, path: Path, options: dict[str, Any]) -> None:
        with (
            tempfile.TemporaryDirectory(prefix="restore-") as folder,
            ProgressLine(stream=sys.stderr, quiet=options["json"]) as line,
        ):
            manifest = check(path, scratch=Path(folder) / "archive", progress=line.show)
        warnings = missing_keys(manifest)
        if options["json"]:
            self.stdout.write(json.dumps({"ok": True, "made_at": manifest.made_at, "warnings": warnings}))
            return
        self.stdout.write(f"{path} is whole: {_about(manifest)}.")
        self._warn(warnings)

    def _tell(self, restored: Restored, *, as_json: bool) -> None:
        stranded = restored.stranded
        if as_json:
            answer = {
                "made_at": restored.manifest.made_at, "rows": sum(restored.manifest.counts.values()),
                "files": restored.files, "uncertain": stranded.uncertain, "again": stranded.again,
                "carried": restored.carried, "warnings": restored.warnings, "started": restored.started,
            }  # fmt: skip
            self.stdout.write(json.dumps(answer))
            return
        self.stdout.write(f"Restored: {_about(restored.manifest)}.")
        if stranded.uncertain:
            self.stdout.write(
                f"{stranded.uncertain} messages or calls were on their way when the backup was made: they are uncertain"
                " now, and messages wait for a decision."
            )
        if any(restored.carried.values()):
            told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in restored.carried.items())
            self.stdout.write(f"Taken over from the replaced database: {told}.")
        self._warn(restored.warnings)
        if not restored.started:
            self.stdout.write(
                "Nothing is sent and no run moves. Messages that became due after the backup may have left already:"
                " look at them, see that the original is stopped, then `manage.py restore --start`."
            )

    def _warn(self, warnings: list[str]) -> None:
        for warning in warnings:
            self.stderr.write(self.style.WARNING(warning))


def _about(manifest: Manifest) -> str:
    rows, files = sum(manifest.counts.values()), len(manifest.members) - 1
    return f"{rows:,} rows and {files:,} files of {manifest.taken_at:%Y-%m-%d %H:%M} UTC, by version {manifest.version}"


def _ask(manifest: Manifest) -> None:
    if not sys.stdin.isatty():
        raise Refused("There is something in the database already: say --force to replace it.")
    sys.stderr.write(f"Everything in the database is replaced by {_about(manifest)}.\n")
    if input("Type yes to go on: ").strip().lower() != "yes":
        raise CommandError("Nothing was restored.", returncode=1)
