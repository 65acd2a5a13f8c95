"""A migrated SQLite file of an earlier test run, so that only a changed product is migrated again."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent
# `pytest --cache-clear` forgets it.
FOLDER = ROOT / ".pytest_cache" / "d" / "migrated"
PACKAGES = ("config", "crm", "contacts", "pipelines")
# What a migration takes from the product decides about its result as much as the migration itself.
TAKEN = re.compile(rf"^\s*(?:from|import) ((?:{'|'.join(PACKAGES)})[\w.]*)(?: import (\w+))?", re.MULTILINE)


def remembered(target: Path, *, copy: Callable[[Path, Path], None], migrate: Callable[[], None]) -> None:
    """Make the file: as it was when nothing has changed, with no migration to run when none has, else from nothing."""
    migrations, product = _migrations(), _product()
    known = FOLDER / f"{migrations}-{product}.sqlite3"
    if known.exists():
        copy(known, target)
        return
    for older in FOLDER.glob(f"{migrations}-*.sqlite3"):
        copy(older, target)
        break
    # It also does what follows any migrating: permissions, schedules, triggers of the database.
    migrate()
    _remember(known, target, copy)


def _remember(known: Path, made: Path, copy: Callable[[Path, Path], None]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    older = [path for path in FOLDER.glob("*.sqlite3") if path != known]
    part = known.with_suffix(f".{os.getpid()}")
    copy(made, part)
    # Whole or not at all; another run may look at the same time.
    part.rename(known)
    for path in older:
        path.unlink(missing_ok=True)


def _migrations() -> str:
    files = [path for package in PACKAGES for path in (ROOT / package).glob("migrations/*.py")]
    return _digest([*files, *{path for file in files for path in _taken_by(file)}])


def _taken_by(file: Path) -> list[Path]:
    found = []
    for module, name in TAKEN.findall(file.read_text("utf-8")):
        place = ROOT.joinpath(*module.split("."))
        candidates = (place.with_suffix(".py"), place / "__init__.py", place / f"{name}.py" if name else place)
        found += [path for path in candidates if path.is_file()]
    return found


def _product() -> str:
    return _digest(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def _digest(files: Iterable[Path]) -> str:
    seen = hashlib.sha256()
    for path in sorted(files):
        seen.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    for installed in sorted(Path(django.__file__).parents[1].glob("*.dist-info")):
        seen.update(installed.name.encode())
    return seen.hexdigest()[:16]
