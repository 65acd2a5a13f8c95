"""Back the whole installation up into one file."""

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.keeping.manifest import Manifest
from config.keeping.refusals import Refused
from config.keeping.taking import take_backup
from contacts.management.progress import ProgressLine


class Command(BaseCommand):
    """Exit codes: 0 written and read again, 2 no backup was made."""

    help = "Write database and files into one archive, at one moment of the running installation. Keys are not in it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="A new file; only its owner may read it.")
        parser.add_argument("--json", action="store_true", help="Print what was written as one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            with ProgressLine(stream=sys.stderr, quiet=options["json"]) as line:
                manifest = take_backup(path, progress=line.show)
        except Refused as refused:
            raise CommandError(str(refused), returncode=2) from refused
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}.", returncode=2) from error
        self._tell(path, manifest, as_json=options["json"])

    def _tell(self, path: Path, manifest: Manifest, *, as_json: bool) -> None:
        size, rows = path.stat().st_size, sum(manifest.counts.values())
        files = len(manifest.members) - 1
        if as_json:
            answer = {
                "file": str(path), "bytes": size, "made_at": manifest.made_at, "version": manifest.version,
                "database": manifest.database, "tables": len(manifest.counts), "rows": rows, "files": files,
                "secret_key": manifest.secret_key, "encryption_keys": list(manifest.encryption_keys),
            }  # fmt: skip
            self.stdout.write(json.dumps(answer))
            return
        self.stdout.write(
            f"{path}: {rows:,} rows of {len(manifest.counts)} tables and {files:,} files, {size:,} bytes."
        )
        self.stdout.write(
            f"Keep SECRET_KEY (fingerprint {manifest.secret_key}) and ENCRYPTION_KEYS elsewhere: they are not in it."
        )
