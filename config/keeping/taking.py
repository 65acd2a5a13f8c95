"""Taking a backup: database first, then files, then a look at what was written."""

import tempfile
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from config.keeping import archive
from config.keeping.manifest import Manifest, applied_migrations, keys_of_here
from config.keeping.refusals import Refused
from config.keeping.store import copier, kind
from config.keeping.version import version


def take_backup(path: Path, *, progress: archive.Progress) -> Manifest:
    """Write the archive under its name only when it is whole and was read again; raises Refused, OSError."""
    media = Path(settings.MEDIA_ROOT).absolute()
    if path.exists():
        raise Refused(f"{path} is there already: name a new file.")
    if not path.absolute().parent.is_dir():
        raise Refused(f"There is no folder {path.absolute().parent}.")
    if path.absolute().is_relative_to(media):
        raise Refused("The backup would lie among the files that it keeps: name a file outside of MEDIA_ROOT.")
    copies = copier()
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=path.absolute().parent) as folder:
        scratch = Path(folder)
        database, whole = scratch / archive.DATABASE, scratch / "archive"
        secret, sealing = keys_of_here()
        # The files come after the rows that name them, so that none is missing.
        made_at = timezone.now()
        counts = copies.snapshot(database)
        said = Manifest(
            made_at=made_at.isoformat(),
            version=version(),
            database=kind(),
            server=copies.server(),
            migrations=applied_migrations(),
            counts=counts,
            secret_key=secret,
            encryption_keys=sealing,
        )
        archive.write(whole, manifest=said, database=database, media=media, progress=progress)
        database.unlink()
        manifest = check(whole, scratch=scratch / "again", progress=lambda done, total: None)
        whole.rename(path)
    return manifest


def check(path: Path, *, scratch: Path, progress: archive.Progress) -> Manifest:
    """Unpack an archive into a folder that is made for it and look at everything; raises Refused."""
    with archive.opened(path) as (manifest, packed):
        if archive.DATABASE not in manifest.members:
            raise Refused("There is no database in this archive.")
        scratch.mkdir(mode=0o700)
        archive.unpack(manifest, packed, into=scratch, progress=progress)
    if manifest.database == kind():
        copier().examine(scratch / archive.DATABASE)
    return manifest
