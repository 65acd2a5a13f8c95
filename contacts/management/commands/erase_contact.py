"""Erase a person for good."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from contacts.erasing import erase_contact
from contacts.models import Contact
from contacts.queries import with_email
from crm.models import Team


class Command(BaseCommand):
    """Exit codes: 0 erased, 1 the question was not answered with yes, 2 nobody or too many were named."""

    help = "Erase a contact: the record, the content of what was sent, and the address wherever it stands."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", required=True, metavar="SLUG")
        named = parser.add_mutually_exclusive_group(required=True)
        named.add_argument("--id", type=int, metavar="NUMBER")
        named.add_argument("--email", metavar="ADDRESS", help="Everybody with this address.")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")
        parser.add_argument("--json", action="store_true", help="Print what was erased as one JSON object a contact.")

    def handle(self, *args: Any, **options: Any) -> None:
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            raise CommandError(f"There is no team {options['team']}.", returncode=2)
        by_id = Contact.objects.for_team(team).filter(pk=options["id"])
        contacts = with_email(team=team, emails=[options["email"]]) if options["email"] else by_id
        found = list(contacts.order_by("pk"))
        if not found:
            raise CommandError("There is no such contact in this team.", returncode=2)
        if not options["yes"] and not _is_sure(found):
            raise CommandError("Nothing was erased.", returncode=1)
        for contact in found:
            pk = contact.pk
            erased = erase_contact(contact=contact, how="erase_contact")
            if options["json"]:
                self.stdout.write(json.dumps({"contact": pk, **erased.counts}))
            else:
                told = ", ".join(f"{count} {name}" for name, count in erased.counts.items())
                self.stdout.write(f"Contact {pk} is erased: {told}.")


def _is_sure(contacts: list[Contact]) -> bool:
    numbers = ", ".join(str(contact.pk) for contact in contacts)
    return input(f"Erase contact {numbers} for good? Type yes: ").strip().lower() == "yes"
