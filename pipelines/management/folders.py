"""Pipelines as code: a folder with one canonical file for each pipeline, compared with the team and pushed to it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from django.core.management.base import CommandError
from django.db import transaction

from crm.models import Team
from pipelines import pictures
from pipelines.definition.document import Problem, checksum
from pipelines.documents import document_of
from pipelines.management.files import load
from pipelines.models import Pipeline
from pipelines.operations import (
    InvalidDocument,
    Preview,
    Refused,
    export_document,
    import_document,
    preview,
    validate_document,
)
from pipelines.operations.planning import Policy
from pipelines.operations.references import named_pipelines

State = Literal["same", "changed", "new", "only in the team", "broken"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One pipeline of the folder, of the team or of both, and how they differ."""

    key: str
    path: Path
    state: State
    sentences: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    document: Mapping[str, Any] | None = None
    pipeline: Pipeline | None = field(default=None, compare=False)

    @property
    def differs(self) -> bool:
        return self.state != "same"

    def as_dict(self) -> dict[str, Any]:
        """For a program that reads the answer."""
        problems = [{"path": p.path, "message": p.message, "severity": p.severity} for p in self.problems]
        return {
            "key": self.key,
            "file": str(self.path),
            "state": self.state,
            "changes": list(self.sentences),
            "problems": problems,
        }


def pull(*, team: Team, folder: Path, keys: Sequence[str] = ()) -> Iterator[tuple[Path, bool]]:
    """Write each pipeline to `KEY.json`; (path, whether it changed). Archived pipelines are left out."""
    rows = _pipelines(team)
    missing = sorted(set(keys) - set(rows))
    if missing:
        raise CommandError(f"The team has no pipeline {', '.join(missing)}.")
    folder.mkdir(parents=True, exist_ok=True)
    for key, pipeline in rows.items():
        if keys and key not in keys:
            continue
        path, text = folder / f"{key}.json", export_document(pipeline=pipeline).encode()
        changed = not path.is_file() or path.read_bytes() != text
        if changed:
            path.write_bytes(text)
        yield path, changed


def compare(*, team: Team, folder: Path) -> list[Entry]:
    """Every pipeline of the folder and of the team, by key; a file that is no document is broken."""
    if not folder.is_dir():
        raise CommandError(f"There is no folder {folder}.")
    rows = _pipelines(team)
    found: dict[str, Entry] = {}
    read = {path: load(str(path)) for path in sorted(folder.glob("*.json"))}
    beside = {str(document.get("key")) for document, _ in read.values() if isinstance(document, dict)}
    for path, (document, problems) in read.items():
        entry = _entry(path, document, problems, team, rows, beside)
        if entry.key in found:
            problem = Problem("key", f"is given by {found[entry.key].path.name} already")
            entry = Entry(str(path), path, "broken", problems=(problem,))
        found[entry.key] = entry
    for key, pipeline in rows.items():
        if key not in found:
            found[key] = Entry(key, folder / f"{key}.json", "only in the team", pipeline=pipeline)
    return [found[key] for key in sorted(found)]


def push(
    *,
    team: Team,
    entries: Sequence[Entry],
    policy: Policy | None = None,
    activate: bool = False,
    force: bool = False,
) -> Iterator[tuple[Entry, Pipeline]]:
    """Bring the team up to the changed and new files: all of them or, when one is refused, none."""
    done = []
    with transaction.atomic():
        for entry in _in_order(entries):
            if entry.document is None or not entry.differs:
                continue
            try:
                pipeline = import_document(
                    team=team, document=entry.document, activate=activate, force=force, policy=policy, note="Pushed"
                )
            except InvalidDocument as error:
                told = "; ".join(f"{each.path or 'document'}: {each.message}" for each in error.errors)
                raise CommandError(f"{entry.path}: {told}. Nothing was pushed.") from None
            except Refused as error:
                raise CommandError(f"{entry.path}: {error.sentence} Nothing was pushed.") from None
            done.append((entry, pipeline))
    yield from done


def _in_order(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Pipelines that others call come before those that call them; where they call each other, by key."""
    waiting = [entry for entry in entries if entry.document is not None]
    while waiting:
        keys = {entry.key for entry in waiting}
        ready = next((each for each in waiting if not named_pipelines(each.document or {}) & keys), waiting[0])
        waiting.remove(ready)
        yield ready


def foreseen(entry: Entry, *, policy: Policy | None) -> Preview | None:
    """What pushing an entry would do to runs; None where nothing would be published."""
    pipeline = entry.pipeline
    if pipeline is None or entry.document is None or pipeline.current_version_id is None or not pipeline.auto_publish:
        return None
    return preview(pipeline=pipeline, document=entry.document, policy=policy)


def told(entry: Entry, say: Callable[[str], object]) -> None:
    """An entry for people: its file, its state, and each change or problem on a line of its own."""
    if entry.state == "same":
        return
    say(f"{entry.path}: {entry.state}")
    for sentence in entry.sentences:
        say(f"  {sentence}")
    for problem in entry.problems:
        say(f"  {problem.severity}: {f'{problem.path}: ' if problem.path else ''}{problem.message}")


def _pipelines(team: Team) -> dict[str, Pipeline]:
    rows = Pipeline.objects.for_team(team).exclude(status=Pipeline.Status.ARCHIVED).select_related("current_version")
    return {pipeline.key: pipeline for pipeline in rows.order_by("key")}


def _entry(
    path: Path,
    document: Any,
    problems: list[Problem],
    team: Team,
    rows: Mapping[str, Pipeline],
    beside: Collection[str],
) -> Entry:
    if document is not None:
        found = validate_document(document, team, beside=beside)
        problems = [each for each in found if each.severity == "error"]
    if problems:
        return Entry(str(path), path, "broken", problems=tuple(problems))
    key = str(document["key"])
    pipeline = rows.get(key)
    if pipeline is None:
        return Entry(key, path, "new", document=document)
    old = document_of(pipeline)
    if checksum(old) == checksum(document):
        return Entry(key, path, "same", document=document, pipeline=pipeline)
    sentences = tuple(change.sentence for change in pictures.changes(old, document))
    return Entry(key, path, "changed", sentences, document=document, pipeline=pipeline)
