"""Pipelines as files and folders: export and pull them, compare, validate, import and push them, simulate them."""

import json
from argparse import ArgumentParser
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from crm.models import Team
from pipelines.definition.document import Problem
from pipelines.engine.clock import engine_now
from pipelines.engine.forgetting import forget_deliveries
from pipelines.management import activating, drawing, folders, simulating
from pipelines.management.files import expanded, load
from pipelines.models import Pipeline
from pipelines.operations import (
    InvalidDocument,
    Refused,
    export_document,
    import_document,
    prune,
    validate_document,
)
from pipelines.operations.drafts import has_draft
from pipelines.operations.pruning import KEPT, OLDER_THAN

PUBLISHES: Final = "publish what holds blocks, too; lines of steps in use always are"
UNPUBLISHED: Final = ", with changes that are not published: --publish does it"


class Command(BaseCommand):
    """`pipelines activate|export|import|pull|diff|push|validate|translate|prune|simulate|picture|gallery`.

    Exit status 1 when a file has problems, differs from the team, or breaks a promise.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        export = actions.add_parser("export", help="print a pipeline, or write each to a directory")
        export.add_argument("keys", nargs="*", metavar="KEY", help="all pipelines when none is given")
        export.add_argument("--output", type=Path, metavar="DIR", help="write KEY.json files there")
        validate = actions.add_parser("validate", help="tell every problem of files, or of those in a folder")
        imports = actions.add_parser("import", help="create or update pipelines from files")
        translate = actions.add_parser("translate", help="print a definition of another product as a document of ours")
        translate.add_argument("file", metavar="FILE", help="'-' reads standard input")
        for reading in (validate, imports):
            reading.add_argument("files", nargs="+", metavar="FILE", help="'-' reads standard input")
        imports.add_argument("--activate", action="store_true", help="activate what was imported")
        imports.add_argument("--publish", action="store_true", help=PUBLISHES)
        imports.add_argument("--no-replace", action="store_true", help="refuse keys that the team already has")
        imports.add_argument("--force", action="store_true", help="publish what does not do what it promises, too")
        pull = actions.add_parser("pull", help="write each pipeline of the team to FOLDER/KEY.json")
        pull.add_argument("folder", type=Path, metavar="FOLDER")
        pull.add_argument("keys", nargs="*", metavar="KEY", help="all pipelines when none is given")
        diff = actions.add_parser("diff", help="say how a folder differs from the team; exit status 1 when it does")
        push = actions.add_parser("push", help="bring the team up to a folder, after a preview and a question")
        for either in (diff, push):
            either.add_argument("folder", type=Path, metavar="FOLDER")
        push.add_argument("--yes", action="store_true", help="do not ask")
        push.add_argument("--activate", action="store_true", help="activate what was pushed")
        push.add_argument("--publish", action="store_true", help=PUBLISHES)
        push.add_argument("--force", action="store_true", help="publish what does not do what it promises, too")
        push.add_argument(
            "--policy",
            choices=["follow", "pin", "cancel"],
            help="what becomes of runs on their way (else the settings)",
        )
        pruning = actions.add_parser("prune", help="remove old versions that no run names, and old posts to webhooks")
        pruning.add_argument("--keep", type=int, default=KEPT, metavar="N", help=f"newest versions to keep ({KEPT})")
        pruning.add_argument(
            "--older-than", type=int, default=OLDER_THAN.days, metavar="DAYS", help=f"age in days ({OLDER_THAN.days})"
        )
        days = "age in days of posts to webhooks (PIPELINES_HOOK_DAYS)"
        pruning.add_argument("--deliveries-older-than", type=int, metavar="DAYS", help=days)
        simulating.add_arguments(simulate := actions.add_parser("simulate", help="try out what would happen"))
        activating.add_arguments(activate := actions.add_parser("activate", help="let a pipeline take records in"))
        picture = actions.add_parser("picture", help="draw pipelines, or documents in files, as SVG")
        picture.add_argument("names", nargs="+", metavar="KEY|FILE")
        picture.add_argument("--output", type=Path, metavar="DIR", help="write KEY.svg files there")
        gallery = actions.add_parser("gallery", help="write the page of recipes with its pictures to a folder")
        gallery.add_argument("folder", type=Path, metavar="FOLDER")
        for each in (picture, activate, export, validate, imports, pull, diff, push, pruning, simulate):
            each.add_argument("--team", required=True, metavar="SLUG")
            each.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "gallery":
            drawing.write_gallery(options["folder"])
            return
        if options["action"] == "translate":
            self._translate(options["file"])
            return
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            known = ", ".join(Team.objects.values_list("slug", flat=True)[:20]) or "none"
            raise CommandError(f"There is no team '{options['team']}'; the teams are: {known}.")
        work = {
            "activate": self._activate,
            "export": self._export,
            "pull": self._pull,
            "diff": self._diff,
            "push": self._push,
            "picture": self._picture,
            "prune": self._prune,
            "simulate": self._simulate,
        }
        work.get(options["action"], self._read)(team, options)

    def _translate(self, name: str) -> None:
        document, problems = load(name)
        if problems:
            raise CommandError(f"{name}: {problems[0].message}")
        self.stdout.write(json.dumps(document, indent=2, ensure_ascii=False))

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

    def _write(self, text: str, key: str, output: Path | None, kind: str = "json") -> None:
        if output is None:
            self.stdout.write(text, ending="")
            return
        output.mkdir(parents=True, exist_ok=True)
        path = output / f"{key}.{kind}"
        path.write_text(text, "utf-8")
        self.stdout.write(str(path))

    def _pull(self, team: Team, options: dict[str, Any]) -> None:
        written = list(folders.pull(team=team, folder=options["folder"], keys=options["keys"]))
        if options["json"]:
            self.stdout.write(json.dumps([{"file": str(path), "changed": changed} for path, changed in written]))
            return
        for path, changed in written:
            self.stdout.write(f"{path}: {'written' if changed else 'unchanged'}")

    def _diff(self, team: Team, options: dict[str, Any]) -> None:
        entries = folders.compare(team=team, folder=options["folder"])
        if options["json"]:
            self.stdout.write(json.dumps([entry.as_dict() for entry in entries], indent=2))
        else:
            for entry in entries:
                folders.told(entry, self.stdout.write)
        if any(entry.differs for entry in entries):
            raise SystemExit(1)

    def _push(self, team: Team, options: dict[str, Any]) -> None:
        entries = folders.compare(team=team, folder=options["folder"])
        broken = [entry for entry in entries if entry.state == "broken"]
        for entry in broken:
            folders.told(entry, self.stderr.write)
        if broken:
            raise CommandError("Nothing was pushed: mend these files first.")
        wanted = [
            entry
            for entry in entries
            if entry.state in ("changed", "new") or (entry.state == "same" and options["publish"] and entry.waits)
        ]
        if not options["json"]:
            self._announce(wanted, options)
        if wanted and not options["yes"] and not _agreed():
            raise CommandError("Nothing was pushed.")
        names = ("policy", "activate", "force", "publish")
        done = list(folders.push(team=team, entries=wanted, **{name: options[name] for name in names}))
        results = [
            {"key": pipeline.key, "file": str(entry.path), "result": _state(pipeline)} for entry, pipeline in done
        ]
        if options["json"]:
            self.stdout.write(json.dumps(results, indent=2))
            return
        for result in results:
            self.stdout.write(f"{result['file']}: {result['key']} is {result['result']}")
        if not results:
            self.stdout.write("The team has all of it already.")

    def _picture(self, team: Team, options: dict[str, Any]) -> None:
        if len(options["names"]) > 1 and options["output"] is None:
            raise CommandError("Say with --output where to draw more than one pipeline.")
        for key, svg in drawing.pictures_of(team, options["names"]):
            self._write(svg, key, options["output"], "svg")

    def _prune(self, team: Team, options: dict[str, Any]) -> None:
        gone: dict[str, list[int]] = {}
        for pipeline in Pipeline.objects.for_team(team).order_by("key"):
            age = timedelta(days=options["older_than"])
            numbers = prune(pipeline=pipeline, keep=options["keep"], older_than=age)
            if numbers:
                gone[pipeline.key] = numbers
        days = options["deliveries_older_than"]
        forgotten = forget_deliveries(now=engine_now(), team=team, older_than=days and timedelta(days=days))
        if options["json"]:
            self.stdout.write(json.dumps({"versions": gone, "deliveries": forgotten}))
            return
        for key, numbers in gone.items():
            self.stdout.write(f"{key}: removed version {', '.join(map(str, numbers))}")
        if forgotten:
            self.stdout.write(f"Removed {forgotten:,} posts to webhooks.")
        if not gone and not forgotten:
            self.stdout.write("Nothing to remove.")

    def _announce(self, entries: Sequence[folders.Entry], options: dict[str, Any]) -> None:
        for entry in entries:
            folders.told(entry, self.stdout.write)
            publish = options["publish"] or options["activate"]
            found = folders.foreseen(entry, policy=options["policy"], publish=publish)
            for line in found.lines if found else ():
                self.stdout.write(f"  {line.count:,} at “{line.name}”: {line.words}")

    def _activate(self, team: Team, options: dict[str, Any]) -> None:
        result, lines = activating.run(team, options)
        self.stdout.write(json.dumps(result, indent=2) if options["json"] else "\n".join(lines))

    def _simulate(self, team: Team, options: dict[str, Any]) -> None:
        results, lines, good = simulating.run(team, options)
        self.stdout.write(json.dumps(results, indent=2) if options["json"] else "\n".join(lines))
        if not good:
            raise SystemExit(1)

    def _read(self, team: Team, options: dict[str, Any]) -> None:
        read = {name: load(name) for name in expanded(options["files"])}
        # Files that are given together may name each other.
        beside = {str(document.get("key")) for document, _ in read.values() if isinstance(document, dict)}
        results = [self._one(team, name, *found, beside, options) for name, found in read.items()]
        if options["json"]:
            self.stdout.write(json.dumps(results, indent=2))
        if not all(result["ok"] for result in results):
            raise SystemExit(1)

    def _one(
        self,
        team: Team,
        name: str,
        document: Any,
        problems: Sequence[Problem],
        beside: Collection[str],
        options: dict[str, Any],
    ) -> dict[str, Any]:
        done = ""
        if document is not None and options["action"] == "validate":
            problems = validate_document(document, team, beside=beside)
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


def _import(team: Team, document: Any, options: dict[str, Any]) -> tuple[Sequence[Problem], str]:
    try:
        pipeline = import_document(
            team=team,
            document=document,
            activate=options["activate"],
            replace=not options["no_replace"],
            force=options["force"],
            publishes=options["publish"],
        )
    except InvalidDocument as error:
        return error.problems, ""
    except Refused as error:
        return [Problem("", error.sentence)], ""
    warnings = [p for p in validate_document(document, team) if p.severity == "warning"]
    return warnings, f"{pipeline.key} is {_state(pipeline)}"


def _state(pipeline: Pipeline) -> str:
    version = pipeline.current_version
    number = f", version {version.number}" if version else ""
    return f"{pipeline.get_status_display().lower()}{number}{UNPUBLISHED if has_draft(pipeline) else ''}"


def _agreed() -> bool:
    """Ask whoever sits before the terminal; where nobody does, the answer is no."""
    try:
        return input("Push this? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
