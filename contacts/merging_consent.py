"""What merged contacts agreed to: their devices come along, and the stricter choice holds for the one that stays."""

from collections.abc import Sequence

from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.utils import timezone

from contacts.models import Contact
from crm.models import Device, Topic
from crm.uniting import unite_mail, unite_numbers


def count_devices(others: Sequence[Contact]) -> int:
    return _devices(others).count()


def unite_consent(keep: Contact, others: Sequence[Contact]) -> list[str]:
    """Move devices and take refusals over, as lines for the timeline; `keep` has its final address and number."""
    _devices(others).update(about_id=keep.pk)
    now = timezone.now()
    team_id = keep.team_id
    topics = unite_mail(team_id=team_id, keep=keep.email, others={other.email for other in others}, now=now)
    channels = unite_numbers(team_id=team_id, keep=keep.phone, others={other.phone for other in others}, now=now)
    lines = []
    if topics:
        names = dict(Topic.objects.filter(team=team_id, key__in=topics).values_list("key", "name"))
        words = ", ".join(names.get(each, each) or "everything" for each in sorted(topics))
        lines.append(f"No mail any more, as with the address that was not kept: {words}.")
    if channels:
        lines.append(f"Withdrawn, as with the number that was not kept: {', '.join(channels)}.")
    return lines


def _devices(others: Sequence[Contact]) -> QuerySet[Device]:
    kind = ContentType.objects.get_for_model(Contact)
    return Device.objects.filter(about_type=kind, about_id__in=[other.pk for other in others])
