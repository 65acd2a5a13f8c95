"""Ask the outside addresses that message templates link to whether they answer."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from contacts.models import Contact
from crm.asking_links import ask_links
from crm.models import MessageTemplate, Team
from pipelines.engine.clock import engine_now
from pipelines.operations.letters import preview_template


class Command(BaseCommand):
    """`check_links --team acme [--template hello]`; exit status 1 when one does not work."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--team", required=True, help="slug of the team")
        parser.add_argument("--template", help="key of one template; else all are asked about")
        parser.add_argument("--json", action="store_true", help="print what came back as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            raise CommandError(f"There is no team {options['team']!r}.")
        rows = MessageTemplate.objects.for_team(team).select_related("team").order_by("key")
        templates = list(rows.filter(key=options["template"]) if options["template"] else rows)
        if not templates:
            raise CommandError("There is no such template.")
        contact = Contact.objects.for_team(team).order_by("-pk").first()
        found = []
        for template in templates:
            shown = preview_template(template=template, contact=contact, now=engine_now())
            found += [(template.key, link) for link in ask_links(text=shown.text, html=shown.html)]
        if options["json"]:
            self.stdout.write(json.dumps([{"template": key, **asdict(link)} for key, link in found]))
        else:
            for key, link in found:
                self.stdout.write(f"{key}: {link.address}: {link.says}")
        broken = sum(link.ok is False for _, link in found)
        if broken:
            raise CommandError(f"{broken} of {len(found)} links do not work.")
