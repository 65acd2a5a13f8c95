"""Pipelines as files: export them, validate them, import them, simulate them."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from crm.models import Team
from pipelines.definition.document import Problem
from pipelines.management import simulating
from pipelines.models import Pipeline
from pipelines.operations import (
    InvalidDocument,
    Refused,
    export_document,
    import_document,
    validate_document,
)


class Command(BaseCommand):
    """`pipelines export|validate|import|simulate`; exit status 1 when a file has problems or breaks a promise."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        export = actions.add_parser("export", help="print a pipeline, or write each to a directory")
        export.add_argument("keys", nargs="*", metavar="KEY", help="all pipelines when none is given")
        export.add_argument("--output", type=Path, metavar="DIR", help="write KEY.json files there")
        validate = actions.add_parser("validate", help="tell every problem of the files")
        imports = actions.add_parser("import", help="create or update pipelines from files")
        for reading in (validate, imports):
            reading.add_argument("files", nargs="+", metavar="FILE", help="'-' reads standard input")
        imports.add_argument("--activate", action="store_true", help="activate what was imported")
        imports.add_argument("--no-replace", action="store_true", help="refuse keys that the team already has")
        imports.add_argument("--force", action="store_true", help="publish what does not do what it promises, too")
        simulating.add_arguments(simulate := actions.add_parser("simulate", help="try out what would happen"))
        for each in (export, validate, imports, simulate):
            each.add_argument("--team", required=True, metavar="SLUG")
            each.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            known = ", ".join(Team.objects.values_list("slug", flat=True)[:20]) or "none"
            raise CommandError(f"There is no team '{options['team']}'; the teams are: {known}.")
        if options["action"] == "export":
            self._export(team, options)
        elif options["action"] == "simulate":
            self._simulate(team, options)
        else:
            self._read(team, options)

    def _export(self, team: Team, options: dict[str, Any]) -> None:
        keys, output = options["keys"], options["output"]
        found = Pipeline.objects.for_team(team).order_by("key")
        if keys:
            found = found.filter(key__in=keys)
        pipelines = list(found)
        missing = sorted(set(keys) - {pipeline.key for pipeline in pipelines})
        if missing:
            raise CommandError(f"The team has no pipeline {', '.join(missing)}.")
        if output is None and len(pipelines) > 1:
            raise CommandError("Say with --output where to write more than one pipeline.")
        for pipeline in pipelines:
            self._write(export_document(pipeline=pipeline), pipeline.key, output)

    def _write(self, text: str, key: str, output: Path | None) -> None:
        if output is None:
            self.stdout.write(text, ending="")
            return
        output.mkdir(parents=True, exist_ok=True)
        path = output / f"{key}.json"
        path.write_text(text, "utf-8")
        self.stdout.write(str(path))

    def _simulate(self, team: Team, options: dict[str, Any]) -> None:
        results, lines, good = simulating.run(team, options)
        self.stdout.write(json.dumps(results, indent=2) if options["json"] else "\n".join(lines))
        if not good:
            raise SystemExit(1)

    def _read(self, team: Team, options: dict[str, Any]) -> None:
        results = [self._one(team, name, options) for name in options["files"]]
        if options["json"]:
            self.stdout.write(json.dumps(results, indent=2))
        if not all(result["ok"] for result in results):
            raise SystemExit(1)

    def _one(self, team: Team, name: str, options: dict[str, Any]) -> dict[str, Any]:
        document, found = _load(name)
        problems: Sequence[Problem] = found
        done = ""
        if document is not None and options["action"] == "validate":
            problems = validate_document(document, team)
        elif document is not None:
            problems, done = _import(team, document, options)
        ok = not any(problem.severity == "error" for problem in problems)
        if not options["json"]:
            self._tell(name, problems, done or ("valid" if ok else ""))
        told = [{"path": p.path, "message": p.message, "severity": p.severity} for p in problems]
        return {"file": name, "ok": ok, "result": done, "problems": told}

    def _tell(self, name: str, problems: Sequence[Problem], done: str) -> None:
        for problem in problems:
            place = f"{problem.path}: " if problem.path else ""
            self.stderr.write(f"{name}: {problem.severity}: {place}{problem.message}")
        if done:
            self.stdout.write(f"{name}: {done}")


def _load(name: str) -> tuple[Any, list[Problem]]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
        return json.loads(text, object_pairs_hook=_no_duplicates), []
    except OSError as error:
        return None, [Problem("", f"cannot be read: {error.strerror}")]
    except (ValueError, RecursionError) as error:
        return None, [Problem("", f"is not JSON: {error}")]


def _no_duplicates(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Two values for one name is a mistake that JSON itself lets pass."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"'{name}' is given twice in one object")
        found[name] = value
    return found


def _import(team: Team, document: Any, options: dict[str, Any]) -> tuple[Sequence[Problem], str]:
    try:
        pipeline = import_document(
            team=team,
            document=document,
            activate=options["activate"],
            replace=not options["no_replace"],
            force=options["force"],
        )
    except InvalidDocument as error:
        return error.problems, ""
    except Refused as error:
        return [Problem("", error.sentence)], ""
    warnings = [p for p in validate_document(document, team) if p.severity == "warning"]
    version = pipeline.current_version
    number = f", version {version.number}" if version else ""
    return warnings, f"{pipeline.key} is {pipeline.get_status_display().lower()}{number}"
