"""Examine the installation: stuck or late runs, a silent engine, a broken schedule, settings, tables."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from crm.channels.names import Names
from pipelines.doctor import Finding, Mended, examine, mend
from pipelines.doctor.mail import examine_mail, sender


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

        parser.add_argument("--mail", action="store_true", help="look up SPF, DKIM, DMARC, MX and PTR instead")
        parser.add_argument("--domain", default="", help="with --mail: default is that of DEFAULT_FROM_EMAIL")
        parser.add_argument("--selector", action="append", default=[], help="with --mail: of DKIM; may be repeated")
        parser.add_argument("--ip", action="append", default=[], help="with --mail: what mail leaves from")
        parser.add_argument("--resolver", default="", metavar="HOST:PORT", help="with --mail: the name server to ask")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["mail"]:
            self._answer(_of_mail(options), [], as_json=options["json"])
            return
        findings = examine(minutes=options["minutes"])
        mended: list[Mended] = []
        if options["fix"]:
            mended = mend(findings)
            findings = examine(minutes=options["minutes"])
        self._answer(findings, mended, as_json=options["json"])

    def _answer(self, findings: Sequence[Finding], mended: Sequence[Mended], *, as_json: bool) -> None:
        tell = self._tell_programs if as_json else self._tell_people
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


def _of_mail(options: dict[str, Any]) -> Sequence[Finding]:
    host, _, port = options["resolver"].rpartition(":")
    if options["resolver"] and not (_is_address(host) and port.isdecimal()):
        raise CommandError("--resolver must be an address and a port, such as 9.9.9.9:53.")
    if not all(map(_is_address, options["ip"])):
        raise CommandError("--ip must be an IPv4 or IPv6 address.")
    given = sender(domain=options["domain"], selectors=options["selector"], addresses=options["ip"])
    return examine_mail(given, Names(options["resolver"]))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _which(finding: Finding) -> str:
    if not finding.ids or finding.ids == (finding.problem.split(":")[0],):
        return ""
    more = ", …" if finding.count > len(finding.ids) else ""
    return f" [{', '.join(map(str, finding.ids))}{more}]"
