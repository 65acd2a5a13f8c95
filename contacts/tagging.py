"""Tags by name: found whatever their case, created when missing, in few statements."""

from collections.abc import Iterable, Sequence

from django.db.models import Q
from django.db.models.functions import Lower

from contacts.models import Contact, Tag
from crm.models import Team

MAX_NAME = 60


def clean_names(names: Iterable[str]) -> list[str]:
    """Names without surrounding space, blanks and repetitions (whatever the case)."""
    first: dict[str, str] = {}
    for name in names:
        stripped = " ".join(name.split())
        if stripped:
            first.setdefault(stripped.lower(), stripped)
    return list(first.values())


def tags_named(*, team: Team, names: Iterable[str]) -> dict[str, Tag]:
    """Tags of the team by lower-case name; the missing ones are created."""
    wanted = clean_names(names)
    if not wanted:
        return {}
    found = _find(team, wanted)
    missing = [name for name in wanted if name.lower() not in found]
    if missing:
        tags = [Tag(team=team, name=name) for name in missing]
        Tag.objects.bulk_create(tags, ignore_conflicts=True)
        found |= _find(team, missing)
    return found


def _find(team: Team, names: Sequence[str]) -> dict[str, Tag]:
    # SQLite folds the case of ASCII letters alone, so the exact spelling is asked for as well.
    lowered = [name.lower() for name in names]
    tags = Tag.objects.for_team(team).alias(lowered=Lower("name"))
    return {tag.name.lower(): tag for tag in tags.filter(Q(lowered__in=lowered) | Q(name__in=names))}


def attach(*, pairs: Iterable[tuple[int, int]]) -> None:
    """Link contacts to tags given as (contact id, tag id); existing links are left alone."""
    through = Contact.tags.through
    links = [through(contact_id=contact, tag_id=tag) for contact, tag in pairs]
    if links:
        through._default_manager.bulk_create(links, ignore_conflicts=True, batch_size=1000)
