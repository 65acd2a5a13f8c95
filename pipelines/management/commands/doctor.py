"""Examine the installation: stuck or late runs, a silent engine, a broken schedule, settings, tables."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand

from pipelines.doctor import Finding, Mended, examine, mend


class Command(BaseCommand):
    """`doctor`; exit status 0 when nothing is wrong (any more), 1 otherwise."""

    help = __doc__
    # They are part of the examination, and must not keep it from being made.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")
        parser.add_argument("--fix", action="store_true", help="repair what needs no person's judgement")
        parser.add_argument(
            "--minutes", type=int, default=10, help="how late a run may be before it is told (default 10)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        findings = examine(minutes=options["minutes"])
        mended: list[Mended] = []
        if options["fix"]:
            mended = mend(findings)
            findings = examine(minutes=options["minutes"])
        tell = self._tell_programs if options["json"] else self._tell_people
        tell(findings, mended)
        if findings:
            raise SystemExit(1)

    def _tell_programs(self, findings: Sequence[Finding], mended: Sequence[Mended]) -> None:
        answer = {
            "ok": not findings,
            "findings": [finding.as_dict() for finding in findings],
            "fixed": [{**each.finding.as_dict(), "done": each.done} for each in mended],
        }
        self.stdout.write(json.dumps(answer, indent=2))

    def _tell_people(self, findings: Sequence[Finding], mended: Sequence[Mended]) -> None:
        for each in mended:
            self.stdout.write(f"fixed {each.finding.code}: {each.finding.problem}\n  {each.done}")
        for finding in findings:
            self.stdout.write(f"{finding.code}: {finding.problem}{_which(finding)}\n  {finding.advice}")
        if not findings:
            self.stdout.write("Nothing is wrong.")


def _which(finding: Finding) -> str:
    if not finding.ids or finding.ids == (finding.problem.split(":")[0],):
        return ""
    more = ", …" if finding.count > len(finding.ids) else ""
    return f" [{', '.join(map(str, finding.ids))}{more}]"
