"""What other apps tell becomes events: records that change, addresses that are suppressed."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection, transaction

from contacts.models import Contact
from contacts.queries import with_email
from crm.models import Suppression, Team
from crm.signals import addresses_suppressed
from pipelines.engine.changes import announce
from pipelines.engine.events import Fact, publish_all
from pipelines.engine.listening import anybody_listens
from pipelines.subjects import SubjectType, subject_types

log = logging.getLogger(__name__)

EVENTS = {
    Suppression.Reason.UNSUBSCRIBED.value: "unsubscribed",
    Suppression.Reason.BOUNCED.value: "email_bounced",
    Suppression.Reason.COMPLAINED.value: "email_complained",
}


def connect() -> None:
    """Listen; called once when the apps are ready."""
    addresses_suppressed.connect(on_suppressed, dispatch_uid="pipelines:addresses-suppressed")


def tell_of_change(*, kind: SubjectType, instance: Any) -> None:
    """A record was saved again; nothing is written when nobody listens, and saving it never fails because of it."""
    if not anybody_listens(team_id=instance.team_id):
        return
    subject = (kind.content_type_id, instance.pk)
    _apart(lambda: announce(team_id=instance.team_id, subjects=[subject]))


def on_suppressed(*, addresses: Sequence[tuple[int, str, str]], reason: str, **_: Any) -> None:
    """(team, address, topic) that get no more mail: an event for each contact of the address."""
    type_ = EVENTS.get(reason)
    if type_ is not None:
        _apart(lambda: _publish(type_, addresses))


def _publish(type_: str, addresses: Sequence[tuple[int, str, str]]) -> None:
    kind = subject_types()[Contact._meta.label_lower]
    facts: list[Fact] = []
    for team in Team.objects.filter(pk__in={team_id for team_id, _, _ in addresses}):
        mine = {address.lower(): topic for team_id, address, topic in addresses if team_id == team.pk}
        for pk, email in with_email(team=team, emails=list(mine)).values_list("pk", "email"):
            payload = {"email": email, "topic": mine[email.lower()]}
            facts.append(Fact(team.pk, type_, kind.content_type_id, pk, payload))
    if facts:
        publish_all(facts)


def _apart(work: Callable[[], object]) -> None:
    """In a savepoint, so that what happened stands even if telling of it fails."""
    try:
        with transaction.atomic():
            work()
    except Exception:  # whatever goes wrong in telling, what happened must not be undone
        if connection.in_atomic_block and connection.needs_rollback:
            raise
        log.exception("an event could not be stored")
