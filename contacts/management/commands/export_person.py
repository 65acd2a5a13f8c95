"""Hand out everything that is held of one person."""

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from contacts.handing_out import HandedOut, hand_out, json_pieces, write_archive
from contacts.management.lines import write_lines
from contacts.management.progress import ProgressLine
from contacts.models import Contact
from contacts.queries import with_email
from crm.models import Team


class Command(BaseCommand):
    """Exit codes: 0 written, 2 nobody or several were named, or the file cannot be written."""

    help = (
        "Export everything that is held of one contact, for who asks what is known of them (GDPR, articles 15 and 20)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("who", metavar="ID|EMAIL", help="The number of the contact, or the address.")
        parser.add_argument("--team", required=True, metavar="SLUG")
        parser.add_argument(
            "--out",
            type=Path,
            metavar="FILE",
            help="A new zip with data and a page. Default: the data, to standard output.",
        )
        parser.add_argument(
            "--json", action="store_true", help="With --out: print what was written as one JSON object."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        contact = _contact(team=options["team"], who=options["who"])
        out: Path | None = options["out"]
        if out is not None and out.exists():
            raise CommandError(f"{out} is there already: name a new file.", returncode=2)
        found = hand_out(contact=contact, how="export_person")
        if out is None:
            write_lines(json_pieces(found), None, self.stdout)
            return
        try:
            with ProgressLine(stream=sys.stderr, quiet=options["json"]) as line:
                found.progress = line.show
                write_archive(found, out)
        except OSError as error:
            raise CommandError(f"{out}: {error.strerror}.", returncode=2) from error
        self._tell(found, out, as_json=options["json"])

    def _tell(self, found: HandedOut, out: Path, *, as_json: bool) -> None:
        counts = {name: count for name, count in found.counts.items() if count}
        if as_json:
            answer = {
                "contact": found.contact.pk, "file": str(out), "counts": counts,
                "mentions": found.mentions, "namesakes": found.namesakes,
            }  # fmt: skip
            self.stdout.write(json.dumps(answer))
            return
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
        self.stdout.write(f"Contact {found.contact.pk} is written to {out}: {told}.")
        if found.namesakes:
            numbers = ", ".join(map(str, found.namesakes))
            self.stdout.write(f"Other contacts have the same address: number {numbers}.")
        if found.mentions:
            self.stdout.write(
                f"Rows about others name the person; look whether they may be given: {json.dumps(found.mentions)}"
            )


def _contact(*, team: str, who: str) -> Contact:
    owner = Team.objects.filter(slug=team).first()
    if owner is None:
        raise CommandError(f"There is no team {team}.", returncode=2)
    rows = Contact.objects.for_team(owner)
    named = rows.filter(pk=int(who)) if who.isdecimal() else with_email(team=owner, emails=[who])
    found = list(named.select_related("team").order_by("pk")[:20])
    if not found:
        raise CommandError("There is no such contact in this team.", returncode=2)
    if len(found) > 1:
        numbers = ", ".join(str(contact.pk) for contact in found)
        raise CommandError(f"Several contacts have this address: name one of {numbers}.", returncode=2)
    return found[0]
