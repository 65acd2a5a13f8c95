"""Making one contact out of several: what wins, what moves, and who else has something to move."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from contacts.hooks import Registry
from contacts.merging_consent import count_devices, unite_consent
from contacts.models import Activity, Contact, Deal, Segment, SegmentMembership
from contacts.segments import change_members
from crm.models import Message, Notification, Task

FILLED: Final = (
    "first_name",
    "last_name",
    "email",
    "phone",
    "job_title",
    "company",
    "owner",
    "lead_source",
    "timezone",
    "language",
)
MAX_OTHERS: Final = 20


class Mover(Protocol):
    """Moves what a higher app holds from the others to the one that stays, in the transaction."""

    def __call__(self, keep: Contact, others: Sequence[Contact], /) -> object: ...


class Counter(Protocol):
    """Says what its mover would move, such as ("Runs", 3)."""

    def __call__(self, others: Sequence[Contact], /) -> tuple[str, int]: ...


movers: Registry[Mover] = Registry()
register = movers.register
counters: Registry[Counter] = Registry()


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which value of one field wins, and whose it was; `lost` are the values only noted down."""

    field: str
    value: Any
    source: Contact
    lost: tuple[Any, ...] = ()


def plan(*, keep: Contact, others: Sequence[Contact]) -> list[Choice]:
    """What the merged contact will look like: its own values first, others fill gaps."""
    return [_choose(name, [keep, *others]) for name in FILLED]


def moves(*, others: Sequence[Contact]) -> list[tuple[str, int]]:
    """What comes along with the others, by kind; one statement each."""
    ids = [other.pk for other in others]
    kind = ContentType.objects.get_for_model(Contact)
    own = [
        ("Deals", Deal.objects.filter(contact_id__in=ids).count()),
        ("Messages", Message.objects.filter(about_type=kind, about_id__in=ids).count()),
        ("Tasks", Task.objects.filter(subject_type=kind, subject_id__in=ids).count()),
        ("Devices", count_devices(others)),
        ("Notes", Activity.objects.filter(subject_type=kind, subject_id__in=ids).count()),
    ]
    return [*(counter(others) for counter in counters), *own]


def _choose(name: str, contacts: Sequence[Contact]) -> Choice:
    filled = [(contact, getattr(contact, name)) for contact in contacts if getattr(contact, name)]
    if not filled:
        return Choice(field=name, value=getattr(contacts[0], name), source=contacts[0])
    source, value = filled[0]
    lost = dict.fromkeys(other for _, other in filled[1:] if _folded(other) != _folded(value))
    return Choice(field=name, value=value, source=source, lost=tuple(lost))


def _folded(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


@transaction.atomic
def merge_contacts(*, keep: Contact, others: Sequence[Contact], by: User | None = None) -> Contact:
    """Make one contact of several: nobody gets what they refused with an address or a number that is not kept."""
    keep, others = _lock(keep, others)
    choices = plan(keep=keep, others=others)
    _fill(keep, choices, others)
    _unite_tags(keep, others)
    _move(keep, others)
    for mover in movers:
        mover(keep, others)
    _write_down(keep, others, choices, unite_consent(keep, others), by)
    Contact.objects.filter(pk__in=[other.pk for other in others]).delete()
    keep.save()
    return keep


def _lock(keep: Contact, others: Sequence[Contact]) -> tuple[Contact, list[Contact]]:
    ids = list(dict.fromkeys(other.pk for other in others if other.pk != keep.pk))
    if not ids:
        raise ValidationError("Choose at least two different contacts to merge.")
    if len(ids) > MAX_OTHERS:
        raise ValidationError(f"Merge at most {MAX_OTHERS + 1} contacts at once.")
    rows = Contact.objects.for_team(keep.team).filter(pk__in=[keep.pk, *ids])
    # In the order of ids, so that two merges of the same people cannot block each other for good.
    rows = rows.select_related("company", "owner").order_by("pk").select_for_update(of=("self",))
    locked = {contact.pk: contact for contact in rows}
    if len(locked) != len(ids) + 1:
        raise ValidationError("One of these contacts is gone or belongs to another team.")
    return locked[keep.pk], [locked[pk] for pk in ids]


def _fill(keep: Contact, choices: Sequence[Choice], others: Sequence[Contact]) -> None:
    for choice in choices:
        setattr(keep, choice.field, choice.value)
    for other in others:
        keep.custom = {**other.custom, **keep.custom}
    moments = [contact.last_interaction for contact in (keep, *others) if contact.last_interaction]
    keep.last_interaction = max(moments, default=None)


def _unite_tags(keep: Contact, others: Sequence[Contact]) -> None:
    through = Contact.tags.through
    ids = through._default_manager.filter(contact_id__in=[other.pk for other in others])
    keep.tags.add(*set(ids.values_list("tag_id", flat=True)))


def _move(keep: Contact, others: Sequence[Contact]) -> None:
    ids = [other.pk for other in others]
    kind = ContentType.objects.get_for_model(Contact)
    Deal.objects.filter(contact_id__in=ids).update(contact=keep)
    Activity.objects.filter(subject_type=kind, subject_id__in=ids).update(subject_id=keep.pk)
    Task.objects.filter(subject_type=kind, subject_id__in=ids).update(subject_id=keep.pk)
    Message.objects.filter(about_type=kind, about_id__in=ids).update(about_id=keep.pk)
    Notification.objects.filter(about_type=kind, about_id__in=ids).update(about_id=keep.pk)
    _move_memberships(keep, ids, kind)


def _move_memberships(keep: Contact, ids: Sequence[int], kind: ContentType) -> None:
    """The one that stays is in every list that any of them was in; where a rule decides, it decides anew."""
    rows = SegmentMembership.objects.filter(
        subject_type=kind, subject_id__in=ids, segment__kind=Segment.Kind.STATIC
    ).order_by("pk")
    joined = {segment: (added, run) for segment, added, run in rows.values_list("segment_id", "added_at", "run_id")}
    change_members(
        added=[
            SegmentMembership(segment_id=segment, subject_type=kind, subject_id=keep.pk, added_at=added, run_id=run)
            for segment, (added, run) in joined.items()
        ]
    )


def _write_down(
    keep: Contact, others: Sequence[Contact], choices: Sequence[Choice], consent: Sequence[str], by: User | None
) -> None:
    lines = [f"Merged {_described(other)} into this contact." for other in others]
    lines += [
        f"{choice.field.replace('_', ' ').capitalize()} not kept: " + ", ".join(str(value) for value in choice.lost)
        for choice in choices
        if choice.lost
    ]
    lines += consent
    Activity.objects.create(
        team=keep.team,
        kind=Activity.Kind.MERGE,
        text="\n".join(lines),
        subject_type=ContentType.objects.get_for_model(Contact),
        subject_id=keep.pk,
        author=by,
        at=timezone.now(),
    )


def _described(contact: Contact) -> str:
    details = [text for text in (contact.email, contact.phone) if text and text != str(contact)]
    return f"{contact} ({', '.join(details)})" if details else str(contact)
