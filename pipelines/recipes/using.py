"""Making a recipe one's own: a draft of the team, with the templates, segments and types that it names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.html import linebreaks

from contacts.models import FieldDefinition, RecordType, Segment
from crm.models import Member, MessageTemplate, Role, Team
from pipelines.models import Pipeline
from pipelines.operations import Refused, import_document
from pipelines.operations.records import audit
from pipelines.recipes.gallery import Recipe

LONGEST_KEY = 40
MOST_PEOPLE = 50

# Whether somebody may do this (a verb) with that (a resource of the permission matrix).
May = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class Missing:
    """Things of one kind that a team does not have yet; the recipe works without those that are only `wished`."""

    resource: str
    what: str
    rows: tuple[Any, ...]
    wished: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(str(row) for row in self.rows)

    @property
    def sentence(self) -> str:
        """Such as `message templates: Welcome, Hello`."""
        return f"{self.what}: {', '.join(self.names)}"


@dataclass(frozen=True, slots=True)
class Used:
    """The new draft, what was made for it, and what somebody else may make."""

    pipeline: Pipeline
    made: tuple[Missing, ...]
    left: tuple[Missing, ...] = ()


def missing(*, recipe: Recipe, team: Team) -> tuple[Missing, ...]:
    """What the team lacks for a recipe, as rows not saved yet; one statement for each kind."""
    needs = recipe.needs
    found = (
        Missing("templates", "message templates", _templates(team, needs.templates)),
        Missing("segments", "segments", _segments(team, needs.segments)),
        Missing("record-types", "types of records", _record_types(team, needs.record_types)),
        # Values may stand under a key that nobody defined, so pages and files miss a label and a type, and no more.
        Missing("fields", "fields", _fields(team, needs.fields), wished=True),
    )
    return tuple(each for each in found if each.rows)


def use_recipe(*, recipe: Recipe, team: Team, may: May, by: object = None) -> Used:
    """Create the draft and everything it lacks, all or nothing; raises Refused when something may not be created."""
    with transaction.atomic():
        lacking = missing(recipe=recipe, team=team)
        left = tuple(each for each in lacking if not may(each.resource, "add"))
        forbidden = [each.sentence for each in left if not each.wished]
        if forbidden:
            raise Refused(
                f"“{recipe.name}” needs {'; '.join(forbidden)}. You may not create them here: ask an admin of the team."
            )
        lacking = tuple(each for each in lacking if each not in left)
        for each in lacking:
            # Somebody else may make the same ones at this moment: then theirs are used.
            type(each.rows[0])._default_manager.bulk_create(each.rows, ignore_conflicts=True)
        pipeline = import_document(team=team, document=_document(recipe, team), by=by, replace=False)
        made = {each.resource: [row.key for row in each.rows] for each in lacking}
        audit(pipeline, "use_recipe", by, recipe=recipe.key, made=made)
    return Used(pipeline, lacking, left)


def _document(recipe: Recipe, team: Team) -> dict[str, Any]:
    """The document under a key that is free, with the members of the team where it lists people."""
    document = {**recipe.document, "key": _free_key(team, recipe.key)}
    if recipe.needs.people:
        people = _people(team)
        document["variables"] = [
            {**each, "default": people} if each["name"] == recipe.needs.people else each
            for each in recipe.document["variables"]
        ]
    return document


def _free_key(team: Team, key: str) -> str:
    taken = set(Pipeline.objects.for_team(team).filter(key__startswith=key).values_list("key", flat=True))
    number = 1
    while (found := key if number == 1 else f"{key[: LONGEST_KEY - 6]}_{number}") in taken:
        number += 1
    return found


def _people(team: Team) -> list[str]:
    """Emails of those who do the daily work, else of everybody but onlookers."""
    members = Member.objects.for_team(team).filter(user__is_active=True).exclude(user__email="")
    rows = list(members.exclude(role=Role.VIEWER).order_by("pk").values_list("user__email", "role")[:MOST_PEOPLE])
    workers = [email for email, role in rows if role == Role.MEMBER]
    return workers or [email for email, _ in rows]


def _templates(team: Team, needed: Sequence[Mapping[str, Any]]) -> tuple[MessageTemplate, ...]:
    return tuple(
        MessageTemplate(
            team=team,
            key=each["key"],
            name=each["name"],
            subject=each["subject"],
            text=each["text"],
            # The texts are ours, and escaping would break the quotes inside their variables.
            html=str(linebreaks(each["text"])),
        )
        for each in _lacking(MessageTemplate, team, needed)
    )


def _segments(team: Team, needed: Sequence[Mapping[str, Any]]) -> tuple[Segment, ...]:
    return tuple(Segment(team=team, key=each["key"], name=each["name"]) for each in _lacking(Segment, team, needed))


def _record_types(team: Team, needed: Sequence[Mapping[str, Any]]) -> tuple[RecordType, ...]:
    return tuple(
        RecordType(team=team, key=each["key"], label=each["label"], fields=each["fields"])
        for each in _lacking(RecordType, team, needed)
    )


def _fields(team: Team, needed: Sequence[Mapping[str, Any]]) -> tuple[FieldDefinition, ...]:
    if not needed:
        return ()
    known = set(FieldDefinition.objects.for_team(team).values_list("model", "key"))
    rows = (FieldDefinition(team=team, **each) for each in needed)
    return tuple(row for row in rows if (row.model, row.key) not in known)


def _lacking(model: Any, team: Team, needed: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if not needed:
        return []
    keys = [each["key"] for each in needed]
    known = set(model.objects.for_team(team).filter(key__in=keys).values_list("key", flat=True))
    return [each for each in needed if each["key"] not in known]
