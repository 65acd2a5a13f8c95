"""The way back: everything is looked at first, the database is replaced in one transaction, and then holds still."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from config.keeping import archive
from config.keeping.carried import Carried, carry_on, look_back
from config.keeping.manifest import Manifest, missing_keys, unknown_migrations
from config.keeping.refusals import Refused
from config.keeping.store import copier, is_filled, kind
from config.keeping.taking import check
from crm.models import AuditEntry
from pipelines.engine.clock import engine_now
from pipelines.engine.hold import holding, start
from pipelines.engine.stranded import Stranded, settle_stranded
from pipelines.models import EngineState


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What came back, what was done about it, and what is to be looked at."""

    manifest: Manifest
    files: int
    stranded: Stranded
    carried: dict[str, int]
    warnings: list[str]
    started: bool


def inspect(path: Path) -> Manifest:
    """Whether this code and this database can take the archive, before its contents are read; raises Refused."""
    with archive.opened(path) as (manifest, _):
        pass
    if manifest.database != kind():
        raise Refused(
            f"This is a backup of {manifest.database}, and DATABASE_URL names {kind()}: restore it into its own kind,"
            " and move from one to the other as docs/operations.md says."
        )
    if unknown := unknown_migrations(manifest):
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise Refused(
            f"The backup is of newer code ({manifest.version}): this code lacks the migration {unknown[0]}{more}."
            " Install that version first."
        )
    return manifest


def restore_backup(path: Path, *, go: bool, progress: archive.Progress) -> Restored:
    """Replace database and files; raises Refused before anything was changed. Without `go` the engine holds still."""
    with tempfile.TemporaryDirectory(prefix="restore-") as folder:
        scratch = Path(folder) / "archive"
        manifest = check(path, scratch=scratch, progress=progress)
        carried = look_back(manifest.taken_at) if is_filled() else Carried()
        copier().load(scratch / archive.DATABASE, also=holding(timezone.now()))
        connection.close()
        _compare(manifest)
        files = archive.place_media(scratch, Path(settings.MEDIA_ROOT))
    call_command("migrate", verbosity=0, interactive=False)
    stranded = settle_stranded(now=engine_now())
    done = carry_on(carried)
    AuditEntry.record(
        team=None, action="installation.restored", actor_label="restore", details={"made_at": manifest.made_at}
    )
    return Restored(
        manifest=manifest,
        files=files,
        stranded=stranded,
        carried=done,
        warnings=missing_keys(manifest),
        started=go and start(),
    )


def _compare(manifest: Manifest) -> None:
    """Every table has the rows that were counted in the snapshot; the engine's notes have one of ours."""
    notes = EngineState._meta.db_table
    counts = dict(copier().count_rows())
    wrong = [name for name, count in manifest.counts.items() if name != notes and counts.get(name) != count]
    if wrong:
        raise Refused(
            f"Restored, but {wrong[0]} has {counts.get(wrong[0], 0)} rows instead of {manifest.counts[wrong[0]]}."
        )
