"""Make an API key of a team and print it: alone on standard output, this once and never again."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from crm.keys import create_key
from crm.models import AuditEntry, Role, Team
from crm.teams import create_team


class Command(BaseCommand):
    """`create_api_key --team SLUG --role admin --name NAME`."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--team", required=True, metavar="SLUG")
        parser.add_argument("--role", choices=Role.values, default=Role.MEMBER.value)
        parser.add_argument("--name", required=True, help="what the key is for")
        parser.add_argument("--create-team", action="store_true", help="make the team when there is none")
        parser.add_argument("--expires-days", type=int, metavar="N", help="never, when left out")
        parser.add_argument(
            "--scopes", nargs="*", default=[], metavar="SCOPE", help="such as contacts:read; all if none"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        team = self._team(options["team"], create=options["create_team"])
        days = options["expires_days"]
        if days is not None and days < 1:
            raise CommandError("--expires-days must be at least 1.")
        expires = timezone.now() + timedelta(days=days) if days else None
        try:
            key, token = create_key(
                team=team, name=options["name"], role=options["role"], scopes=options["scopes"], expires_at=expires
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        AuditEntry.record(team=team, action="api-keys.added", target=key, details={"by": "create_api_key"})
        self.stdout.write(token)

    def _team(self, slug: str, *, create: bool) -> Team:
        team = Team.objects.filter(slug=slug).first()
        if team is not None:
            return team
        if not create:
            known = ", ".join(Team.objects.values_list("slug", flat=True)[:20]) or "none"
            raise CommandError(f"There is no team '{slug}' (there is: {known}). Add --create-team to make it.")
        try:
            return create_team(name=slug.replace("-", " ").title(), slug=slug)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
