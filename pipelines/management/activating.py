"""`pipelines activate`: let a pipeline take records in, and say who fits it already."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError

from crm.models import Team
from pipelines.models import Pipeline
from pipelines.operations import InvalidDocument, Refused, activate, enroll_existing, preview_existing


def add_arguments(parser: ArgumentParser) -> None:
    """What `activate` takes beside the team."""
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("--dry-run", action="store_true", help="only say who fits already")
    parser.add_argument("--enroll-existing", action="store_true", help="take in the records that fit already, too")


def run(team: Team, options: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The result for programs, and lines for people."""
    pipeline = Pipeline.objects.for_team(team).filter(key=options["key"]).first()
    if pipeline is None:
        raise CommandError(f"The team has no pipeline '{options['key']}'.")
    found = preview_existing(pipeline=pipeline)
    existing = [
        {"trigger": each.trigger.key or str(each.trigger), "count": each.total, "at_least": each.at_least}
        for each in found
    ]
    lines = [
        f"{each.trigger.key or each.trigger}: {'at least ' if each.at_least else ''}{each.total:,} fit already"
        + (" and enter by the first look" if each.always else "")
        for each in found
    ]
    if not options["dry_run"]:
        try:
            _activate(pipeline, existing=options["enroll_existing"])
        except (Refused, InvalidDocument) as error:
            raise CommandError(str(error)) from None
        lines.append(f"{pipeline.key} is active" + (", and they enter now" if options["enroll_existing"] else ""))
    return {"pipeline": pipeline.key, "status": pipeline.get_status_display().lower(), "existing": existing}, lines


def _activate(pipeline: Pipeline, *, existing: bool) -> None:
    if pipeline.status != Pipeline.Status.ACTIVE:
        activate(pipeline=pipeline, existing=existing)
    elif existing:
        enroll_existing(pipeline=pipeline)
