"""Pictures on the command line: of pipelines of a team, of documents in files, and of the whole gallery."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from django.core.management.base import CommandError

from crm.models import Team
from pipelines import pictures
from pipelines.documents import document_of
from pipelines.management.files import load
from pipelines.models import Pipeline
from pipelines.operations import validate_document
from pipelines.recipes.page import files


def pictures_of(team: Team, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(key, SVG) for each key of the team and each file; raises CommandError for what cannot be drawn."""
    found = {pipeline.key: pipeline for pipeline in Pipeline.objects.for_team(team).filter(key__in=names)}
    for name in names:
        if name in found:
            yield name, f"{pictures.as_file(document_of(found[name]))}\n"
            continue
        if not Path(name).is_file():
            raise CommandError(f"{name}: the team has no such pipeline, and there is no such file.")
        document, problems = load(name)
        wrong = [*problems, *(validate_document(document, team) if document is not None else ())]
        wrong = [problem for problem in wrong if problem.severity == "error"]
        if document is None or wrong:
            raise CommandError("\n".join(f"{name}: {problem.path}: {problem.message}" for problem in wrong))
        yield str(document["key"]), f"{pictures.as_file(document)}\n"


def write_gallery(folder: Path) -> None:
    """Write the page of recipes and its pictures there."""
    for path, text in files().items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
