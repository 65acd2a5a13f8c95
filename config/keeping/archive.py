"""The archive: a zip of the database, the files below MEDIA_ROOT and a manifest with a checksum of each."""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Final

from config.keeping.manifest import Manifest, Member, parse
from config.keeping.refusals import Refused

MANIFEST: Final = "manifest.json"
DATABASE: Final = "database"
MEDIA: Final = "media/"
BLOCK: Final = 1 << 20
# Called with bytes done and bytes in all.
Progress = Callable[[int, int], None]


def write(path: Path, *, manifest: Manifest, database: Path, media: Path, progress: Progress) -> Manifest:
    """Write a new archive that only its owner may read; the manifest with its members."""
    wanted = {DATABASE: database, **files_below(media)}
    total = sum(file.stat().st_size for file in wanted.values() if file.exists())
    members: dict[str, Member] = {}
    done = 0
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name, source in wanted.items():
            try:
                opened = source.open("rb")
            except FileNotFoundError:
                # Somebody deleted it since the list was made.
                continue
            with opened, packed.open(name, "w", force_zip64=True) as written:
                members[name] = _copy(opened, written)
            done += members[name].size
            progress(done, total)
        whole = replace(manifest, members=members)
        packed.writestr(MANIFEST, whole.as_json())
    with path.open("rb") as closed:
        os.fsync(closed.fileno())
    return whole


@contextmanager
def opened(path: Path) -> Iterator[tuple[Manifest, zipfile.ZipFile]]:
    """The archive and its manifest; raises Refused where it is none, or broken off."""
    try:
        with zipfile.ZipFile(path) as packed:
            yield parse(packed.read(MANIFEST)), packed
    except FileNotFoundError:
        raise Refused(f"There is no file {path}.") from None
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise Refused(f"{path} is no backup, or a part of it is missing.") from error
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}.") from error


def unpack(manifest: Manifest, packed: zipfile.ZipFile, *, into: Path, progress: Progress) -> None:
    """Check every member against its checksum and put it below a folder; raises Refused."""
    listed = set(packed.namelist()) - {MANIFEST}
    if listed != set(manifest.members):
        raise Refused("The archive does not hold the files that its manifest names.")
    total = sum(member.size for member in manifest.members.values())
    done = 0
    for name, member in manifest.members.items():
        target = into / _inside(name)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with packed.open(name) as read, target.open("xb") as written:
                found = _copy(read, written)
        except (zipfile.BadZipFile, EOFError) as error:
            raise Refused(f"{name} is damaged: the archive cannot be trusted.") from error
        if found != member:
            raise Refused(f"{name} has another checksum than the manifest says: the archive cannot be trusted.")
        done += member.size
        progress(done, total)


def place_media(folder: Path, media: Path) -> int:
    """Move the files of an unpacked archive where the product looks for them; how many."""
    files = files_below(folder / MEDIA)
    for name, source in files.items():
        target = media / name.removeprefix(MEDIA)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        shutil.copyfile(source, part)
        part.replace(target)
    return len(files)


def files_below(media: Path) -> Mapping[str, Path]:
    """Ordinary files by their names in the archive; what a link leads to is not ours."""
    found = {}
    for folder, _, names in os.walk(media):
        for name in names:
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink():
                found[MEDIA + path.relative_to(media).as_posix()] = path
    return dict(sorted(found.items()))


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not (name == DATABASE or name.startswith(MEDIA)):
        raise Refused("The archive names files outside of itself.")
    return path


def _copy(read: IO[bytes], written: IO[bytes]) -> Member:
    digest, size = hashlib.sha256(), 0
    while block := read.read(BLOCK):
        digest.update(block)
        size += len(block)
        written.write(block)
    return Member(size=size, sha256=digest.hexdigest())
