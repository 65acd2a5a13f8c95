"""Pipelines as code: a folder with one canonical file for each pipeline, compared with the team and pushed to it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

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
from pipelines.operations import activate as activate_pipeline
from pipelines.operations import publish as publish_pipeline
from pipelines.operations.drafts import has_draft, publishes_by_saving
from pipelines.operations.gates import Asked, ask_ahead
from pipelines.operations.planning import Policy
from pipelines.operations.references import named_pipelines

ARCHIVED: Final = "the team has archived '{key}': remove this file, or give it another key"
State = Literal["same", "changed", "new", "only in the team", "broken"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One pipeline of the folder, of the team or of both, and how they differ.

    What is broken has errors for problems; what would be pushed, warnings.
    """

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

    @property
    def waits(self) -> bool:
        """Whether the team has it as a draft that is not published."""
        if self.pipeline is None or self.document is None:
            return False
        return has_draft(self.pipeline, self.document)

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
    archived = set(Pipeline.objects.for_team(team).values_list("key", flat=True)) - set(rows)
    found: dict[str, Entry] = {}
    read = {path: load(str(path)) for path in sorted(folder.glob("*.json"))}
    beside = {str(document.get("key")) for document, _ in read.values() if isinstance(document, dict)}
    for path, (document, problems) in read.items():
        entry = _entry(path, document, problems, team, rows, beside, archived)
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
    publish: bool = False,
) -> Iterator[tuple[Entry, Pipeline]]:
    """Bring the team up to the changed and new files: all of them or, when one is refused, none.

    What they promise is played before, together; then all are written and published in one transaction.

    With `publish` what holds blocks is published as well, also where it was pushed before.
    """
    wanted = [each for each in _in_order(entries) if each.differs or (publish and each.waits)]
    publishing = {each.key for each in wanted if publish or activate or _publishes_by_saving(each)}
    asked = {} if force else _asked(team, wanted, publishing)
    done = []
    with transaction.atomic():
        # All definitions come before any is published: each may call each.
        for entry in wanted:
            with _refusing(entry):
                pipeline = import_document(
                    team=team, document=entry.document or {}, draft=True, beside=[each.key for each in wanted]
                )
            done.append((entry, pipeline))
        for entry, pipeline in done:
            with _refusing(entry):
                answer = asked.get(entry.key)
                if entry.key in publishing:
                    publish_pipeline(pipeline=pipeline, force=force, policy=policy, note="Pushed", asked=answer)
                else:
                    _check_together(entry, team)
                if activate:
                    activate_pipeline(pipeline=pipeline, force=force, asked=answer)
    yield from done


def _publishes_by_saving(entry: Entry) -> bool:
    return entry.pipeline is not None and publishes_by_saving(entry.pipeline, entry.document or {})


def _asked(team: Team, wanted: Sequence[Entry], publishing: Collection[str]) -> dict[str, Asked]:
    """What everything to be published promises, played before the transaction begins; nothing goes on if one breaks."""
    together = [each.document for each in wanted if each.key in publishing and each.document is not None]
    keys, asked = [each.key for each in wanted], {}
    for entry in wanted:
        if entry.key in publishing and entry.document is not None:
            pipeline = entry.pipeline or Pipeline(team=team)
            with _refusing(entry):
                answer = ask_ahead(pipeline=pipeline, document=entry.document, beside=together, named=keys)
                if answer.problems:
                    raise InvalidDocument(list(answer.problems))
            asked[entry.key] = answer
    return asked


def _check_together(entry: Entry, team: Team) -> None:
    """A draft is held to the others as they stand now, as publishing would."""
    problems = validate_document(entry.document, team)
    if any(problem.severity == "error" for problem in problems):
        raise InvalidDocument(problems)


@contextmanager
def _refusing(entry: Entry) -> Iterator[None]:
    """Say of which file it is that something was refused."""
    try:
        yield
    except InvalidDocument as error:
        told = "; ".join(f"{each.path or 'document'}: {each.message}" for each in error.errors)
        raise CommandError(f"{entry.path}: {told}. Nothing was pushed.") from None
    except Refused as error:
        raise CommandError(f"{entry.path}: {error.sentence} Nothing was pushed.") from None


def _in_order(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Pipelines that others call come before those that call them; where they call each other, by key."""
    waiting = [entry for entry in entries if entry.document is not None]
    while waiting:
        keys = {entry.key for entry in waiting}
        ready = next((each for each in waiting if not named_pipelines(each.document or {}) & keys), waiting[0])
        waiting.remove(ready)
        yield ready


def foreseen(entry: Entry, *, policy: Policy | None, publish: bool = False) -> Preview | None:
    """What pushing an entry would do to runs; None where nothing would be published."""
    pipeline = entry.pipeline
    if pipeline is None or entry.document is None or pipeline.current_version_id is None:
        return None
    if not publish and not publishes_by_saving(pipeline, entry.document):
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
    archived: Collection[str],
) -> Entry:
    found = problems if document is None else validate_document(document, team, beside=beside)
    if document is None or any(each.severity == "error" for each in found):
        problems = [each for each in found if each.severity == "error"]
        return Entry(str(path), path, "broken", problems=tuple(problems))
    key = str(document["key"])
    pipeline = rows.get(key)
    if pipeline is None and key in archived:
        return Entry(key, path, "broken", problems=(Problem("key", ARCHIVED.format(key=key)),))
    if pipeline is None:
        return Entry(key, path, "new", problems=tuple(found), document=document)
    old = document_of(pipeline)
    if checksum(old) == checksum(document):
        return Entry(key, path, "same", document=document, pipeline=pipeline)
    sentences = tuple(change.sentence for change in pictures.changes(old, document))
    return Entry(key, path, "changed", sentences, tuple(found), document=document, pipeline=pipeline)
