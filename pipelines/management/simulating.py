"""`pipelines simulate`: stories and expectations of pipelines, from files or from the team."""

import json
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from crm.models import Team
from pipelines.documents import document_of
from pipelines.engine.clock import engine_now
from pipelines.engine.plain import plain
from pipelines.management.files import expanded, load
from pipelines.models import Pipeline
from pipelines.operations import InvalidDocument
from pipelines.simulation import telling
from pipelines.simulation.audience import audience_of, simulate_audience
from pipelines.simulation.expect import outcome_of, play_expectations
from pipelines.simulation.scenario import ScenarioError, scenario_of
from pipelines.simulation.simulate import simulate


def add_arguments(parser: ArgumentParser) -> None:
    """What `simulate` takes beside the team."""
    parser.add_argument(
        "names", nargs="*", metavar="KEY|FILE|FOLDER", help="all that expect something when none is given"
    )
    parser.add_argument("--subject", metavar="ID|JSON", help="play one story for this record or these sample values")
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="a story: subject, trigger, events, responses, …")
    parser.add_argument("--audience", type=int, metavar="N", help="play it for the newest N records, up to 1,000")


def run(team: Team, options: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str], bool]:
    """Results for programs, lines for people, and whether everything is as it should be.

    Without a story the expectations of the documents (`meta.expect`) are played.
    """
    results: list[dict[str, Any]] = []
    lines: list[str] = []
    good = True
    found = list(_documents(team, options))
    # Files that are given together are played together: one may start the other.
    files = [document for _, document, is_file in found if is_file]
    for name, document, _ in found:
        try:
            result, told, fine = _one(team, document, options, files)
        except InvalidDocument as error:
            told = [f"{each.path or 'document'}: {each.message}" for each in error.errors]
            result, fine = {"problems": [{"path": p.path, "message": p.message} for p in error.errors]}, False
        except ScenarioError as error:
            told, fine = [str(error)], False
            result = {"problems": [{"path": error.path, "message": error.message}]}
        results.append({"pipeline": name, "ok": fine, **result})
        lines += [f"{name}:", *(f"  {line}" for line in told)]
        good = good and fine
    return results, lines, good


def _documents(team: Team, options: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Names, documents, and whether they come from a file."""
    names = options["names"]
    rows = {pipeline.key: pipeline for pipeline in Pipeline.objects.for_team(team).order_by("key")}
    if not names:
        for key, pipeline in rows.items():
            document = document_of(pipeline)
            if (document.get("meta") or {}).get("expect"):
                yield key, document, False
        return
    for name in names:
        if name in rows:
            yield name, document_of(rows[name]), False
        elif not Path(name).exists():
            raise CommandError(f"{name} is neither a pipeline of the team nor a file that can be read.")
        else:
            yield from ((each, _read(each), True) for each in expanded([name]))


def _read(name: str) -> dict[str, Any]:
    document, problems = load(name)
    if problems:
        raise CommandError(f"{name} {problems[0].message}")
    if not isinstance(document, dict):
        raise CommandError(f"{name} holds no document.")
    return document


def _one(
    team: Team, document: dict[str, Any], options: Mapping[str, Any], beside: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], list[str], bool]:
    story = _story(options)
    if options["audience"] is not None:
        scenario = scenario_of(story or {}, now=engine_now())
        audience = audience_of({"limit": options["audience"]})
        report = simulate_audience(team=team, document=document, audience=audience, scenario=scenario, beside=beside)
        return {"audience": plain(report)}, list(telling.funnel(report)), True
    if story is not None:
        scenario = scenario_of(story, now=engine_now())
        report = simulate(team=team, document=document, scenario=scenario, beside=beside)
        return {"report": plain(report)}, list(telling.timetable(report)), bool(report["success"])
    played = play_expectations(team=team, document=document, beside=beside)
    fine = all(each.met for each in played)
    return (
        {"expect": [outcome_of(each) for each in played]},
        list(telling.expectations(played)) or ["no expectations"],
        fine,
    )


def _story(options: Mapping[str, Any]) -> dict[str, Any] | None:
    if options["scenario"] is None and options["subject"] is None:
        return None
    story: dict[str, Any] = {}
    try:
        if options["scenario"] is not None:
            story = json.loads(options["scenario"].read_text("utf-8"))
        if options["subject"] is not None:
            story["subject"] = json.loads(options["subject"])
    except OSError as error:
        raise CommandError(f"{options['scenario']} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CommandError(f"The story is not JSON: {error}") from None
    if not isinstance(story, dict):
        raise CommandError("A story is a JSON object.")
    return story
