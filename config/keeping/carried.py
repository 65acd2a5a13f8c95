"""What people asked for after a backup was made: it holds in the restored installation, too."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError

from contacts.erasing import erase_contact
from contacts.models import Contact
from crm.models import ApiKey, AuditEntry, Suppression, Team

# Teams are the same when they were made at the same moment under the same number.
Known = tuple[int, datetime]


@dataclass(frozen=True, slots=True)
class Carried:
    """Erasures, refusals and revoked keys of the database that is replaced, since a moment."""

    erased: Sequence[tuple[Known, int]] = ()
    refused: Sequence[tuple[Known, dict[str, Any]]] = ()
    revoked: Sequence[tuple[str, datetime | None]] = field(default_factory=list)


def look_back(since: datetime) -> Carried:
    """Read from the database that is about to be replaced; nothing where it cannot be read by this code."""
    # A backup tells when it began; a clock that was set meanwhile must not lose anybody.
    since -= timedelta(minutes=5)
    try:
        entries = AuditEntry.objects.filter(action="contacts.erased", at__gte=since, team__isnull=False)
        erased = [
            ((team, made), int(target.rpartition(":")[2]))
            for team, made, target in entries.values_list("team", "team__created_at", "target")
        ]
        rows = Suppression.objects.filter(created_at__gte=since).select_related("team")
        refused = [((row.team_id, row.team.created_at), _plain(row)) for row in rows]
        revoked = list(ApiKey.objects.filter(revoked_at__gte=since).values_list("digest", "revoked_at"))
    except DatabaseError:
        return Carried()
    return Carried(erased, refused, revoked)


def carry_on(carried: Carried) -> dict[str, int]:
    """Do it again in the restored database; how much of each there was to do."""
    teams = {(team.pk, team.created_at) for team in Team.objects.all()}
    refused = [Suppression(team_id=team[0], **row) for team, row in carried.refused if team in teams]
    before = Suppression.objects.count()
    Suppression.objects.bulk_create(refused, ignore_conflicts=True, batch_size=500)
    refusals = Suppression.objects.count() - before
    ended = dict(carried.revoked)
    keys = list(ApiKey.objects.filter(digest__in=ended, revoked_at=None))
    for key in keys:
        key.revoked_at = ended[key.digest]
    ApiKey.objects.bulk_update(keys, ["revoked_at"], batch_size=500)
    wanted = {(team[0], pk) for team, pk in carried.erased if team in teams}
    contacts = Contact.objects.filter(pk__in=[pk for _, pk in wanted]).select_related("team")
    back = [contact for contact in contacts if (contact.team_id, contact.pk) in wanted]
    for contact in back:
        # Each is a transaction of its own, with a search of texts after it.
        erase_contact(contact=contact, how="restore")
    return {"erased": len(back), "refusals": refusals, "revoked_keys": len(keys)}


def _plain(row: Suppression) -> dict[str, Any]:
    names = ("address", "topic", "reason", "source", "created_at")
    return {name: getattr(row, name) for name in names}
