"""Questions about contacts: search, duplicates and the timeline of a record."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Count, Exists, F, Model, OuterRef, Q, QuerySet, Subquery, Value, Window
from django.db.models.functions import Coalesce, Lower, RowNumber

from contacts import timeline as lines
from contacts.models import Activity, Company, Contact, Tag
from contacts.timeline import Entry
from crm.models import Message, MessageEvent, Task, Team, TeamScopedQuerySet

MAX_WORDS: Final = 6
MAX_WORD: Final = 100
MAX_COPIES: Final = 20
TIMELINE_LIMIT: Final = 50


def search(*, contacts: TeamScopedQuerySet[Contact], text: str, team: Team | None) -> TeamScopedQuerySet[Contact]:
    """Contacts in which every word occurs: in a name, email, phone, company or tag."""
    for word in text.split()[:MAX_WORDS]:
        contacts = contacts.filter(_holds(word[:MAX_WORD].replace("\x00", ""), team))
    return contacts


def _holds(word: str, team: Team | None) -> Q:
    if _is_address(word):
        # A whole address is looked up in the index instead of read through the table.
        return Q(pk__in=with_email(team=team, emails=[word]).values("pk"))
    companies = Company.objects.for_team(team).filter(name__icontains=word)
    through = Contact.tags.through._default_manager
    tags = Tag.objects.for_team(team).filter(name__icontains=word)
    tagged = through.filter(contact_id=OuterRef("pk"), tag_id__in=tags.values("pk"))
    return (
        Q(first_name__icontains=word)
        | Q(last_name__icontains=word)
        | Q(email__icontains=word)
        | Q(phone__icontains=word)
        | Q(company_id__in=companies.values("pk"))
        | Q(Exists(tagged))
    )


def _is_address(word: str) -> bool:
    try:
        validate_email(word)
    except ValidationError:
        return False
    return True


def with_email(*, team: Team | None, emails: Sequence[str]) -> QuerySet[Contact]:
    """Contacts with one of these addresses, whatever the case."""
    # SQLite folds the case of ASCII letters alone, so the exact spelling is asked for as well.
    lowered = [email.lower() for email in emails]
    rows = Contact.objects.for_team(team).exclude(email="").alias(lowered=Lower("email"))
    return rows.filter(lowered__in=list(dict.fromkeys([*lowered, *emails])))


@dataclass(frozen=True, kw_only=True)
class DuplicateGroup:
    """Contacts that share an address, oldest first; `count` may exceed the copies shown."""

    email: str
    count: int
    contacts: tuple[Contact, ...]


@dataclass(frozen=True, kw_only=True)
class DuplicatePage:
    """Groups in the order of their addresses; ask again with `after=next` for more.

    `next` is the id of a contact, because an address does not belong into a URL or a log.
    """

    groups: tuple[DuplicateGroup, ...]
    next: int | None


def duplicates(*, team: Team | None, after: int = 0, limit: int = 25) -> DuplicatePage:
    """Addresses held by several contacts of a team, in one statement.

    When the contact `after` is gone, as after a merge, the pages start again.
    """
    rows = list(_copies(team, after, limit + 1))
    grouped = groupby(rows, key=lambda row: (row.team_id, row.lowered))
    groups = [_group(address, list(copies)) for (_, address), copies in grouped]
    more = len({group.email for group in groups}) > limit
    if more:
        last = groups[-1].email
        groups = [group for group in groups if group.email != last]
    return DuplicatePage(groups=tuple(groups), next=groups[-1].contacts[0].pk if more else None)


def _copies(team: Team | None, after: int, limit: int) -> QuerySet[Contact, Any]:
    rows = Contact.objects.for_team(team).exclude(email="").annotate(lowered=Lower("email"))
    last = Subquery(rows.filter(pk=after).order_by().values("lowered"))
    shared = rows.filter(lowered__gt=Coalesce(last, Value(""))).order_by().values("team", "lowered")
    shared = shared.annotate(n=Count("pk")).filter(n__gt=1)
    page = shared.order_by("lowered").values("lowered").distinct()[:limit]
    same = [F("team"), F("lowered")]
    return (
        rows.filter(lowered__in=page)
        .select_related("company", "owner")
        .annotate(
            copies=Window(Count("pk"), partition_by=same),
            place=Window(RowNumber(), partition_by=same, order_by=F("pk").asc()),
        )
        .filter(place__lte=MAX_COPIES, copies__gt=1)
        .order_by("lowered", "team", "pk")
    )


def _group(address: str, rows: Sequence[Any]) -> DuplicateGroup:
    return DuplicateGroup(email=address, count=rows[0].copies, contacts=tuple(rows))


def timeline(*, subject: Model, before: datetime | None = None, limit: int = TIMELINE_LIMIT) -> list[Entry]:
    """What happened to a record, newest first: notes, tasks, messages and what other apps add.

    One statement per source, however long the history. For older entries ask again with the
    `at` of the last one as `before`.
    """
    limit = max(1, min(limit, 200))
    entries = [
        *_activities(subject, before, limit),
        *_tasks(subject, before, limit),
        *_messages(subject, before, limit),
        *_answers(subject, before, limit),
    ]
    for provider in lines.providers:
        entries += provider(subject=subject, before=before, limit=limit)
    return sorted(entries, key=lambda entry: entry.at, reverse=True)[:limit]


_ICONS: Final = {
    Activity.Kind.NOTE: "edit_note",
    Activity.Kind.CALL: "call",
    Activity.Kind.MEETING: "groups",
    Activity.Kind.CHANGE: "published_with_changes",
    Activity.Kind.MERGE: "merge",
}


def _activities(subject: Model, before: datetime | None, limit: int) -> list[Entry]:
    rows = Activity.objects.about(subject)
    if before is not None:
        rows = rows.filter(at__lt=before)
    return [
        Entry(
            at=row.at,
            kind=row.kind,
            title=row.get_kind_display(),
            text=row.text,
            who=_who(row.author),
            icon=_ICONS.get(Activity.Kind(row.kind), "circle"),
        )
        for row in rows.select_related("author").order_by("-at")[:limit]
    ]


def _tasks(subject: Model, before: datetime | None, limit: int) -> list[Entry]:
    about = Task.objects.about(subject)
    rows = about.alias(at=Coalesce("completed_at", "created_at"))
    if before is not None:
        rows = rows.filter(at__lt=before)
    return [
        Entry(
            at=row.completed_at or row.created_at,
            kind="task",
            title=f"Task {row.get_status_display().lower()}: {row.title}",
            text=row.description,
            who=_who(row.assignee),
            icon="task_alt" if row.status == Task.Status.DONE else "check_box_outline_blank",
        )
        for row in rows.select_related("assignee").order_by("-at")[:limit]
    ]


def _messages(subject: Model, before: datetime | None, limit: int) -> list[Entry]:
    about = Message.objects.about(subject)
    rows = about.alias(at=Coalesce("sent_at", "created_at"))
    if before is not None:
        rows = rows.filter(at__lt=before)
    # Bodies can be large and are not shown in a line.
    rows = rows.defer("text", "html", "attachments", "headers")
    return [
        Entry(
            at=row.sent_at or row.created_at,
            kind="message",
            title=f"{row.get_channel_display()} {row.get_state_display().lower()}: {row.subject}",
            text=(row.reason or row.error).replace("_", " "),
            who=row.sender,
            icon="mail",
        )
        for row in rows.order_by("-at")[:limit]
    ]


def _answers(subject: Model, before: datetime | None, limit: int) -> list[Entry]:
    """What was written back to messages about a record."""
    about = Message.objects.about(subject).values("pk")
    rows = MessageEvent.objects.filter(kind=MessageEvent.Kind.REPLIED, message__in=about)
    if before is not None:
        rows = rows.filter(at__lt=before)
    return [
        Entry(
            at=row.at,
            kind="answer",
            title=f"{'Answered' if row.likely_human else 'Automatic answer'}: {row.message.subject}",
            text=row.text,
            who=row.message.recipient,
            icon="reply",
        )
        for row in rows.select_related("message").order_by("-at")[:limit]
    ]


def _who(user: Any) -> str:
    return "" if user is None else str(user.get_full_name() or user.get_username())
