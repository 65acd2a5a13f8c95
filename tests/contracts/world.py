"""Two teams that know nothing of each other, with a row of every kind of record; what is B's says SECRETB."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import models

from contacts.models import Contact
from crm.keys import create_key
from crm.models import Member, Role, Team
from crm.permissions import RESOURCES
from crm.scoping import rows_of_team
from pipelines.engine.clock import pretend
from pipelines.engine.tick import process_due_runs
from pipelines.operations import import_document
from tests.pipelines.engine.building import NOON, document, email

SECRET = "secretb"
SIMPLE = (
    "contacts.company", "contacts.deal", "contacts.tag", "contacts.activity", "contacts.segment",
    "contacts.contactimport", "contacts.segmentmembership", "contacts.fielddefinition", "contacts.recordtype",
    "contacts.record", "crm.task",
    "crm.message",
    "crm.messageevent", "crm.messagetemplate", "crm.suppression", "crm.topic",
    "crm.subscription", "crm.consententry", "crm.notification", "crm.auditentry",
    "crm.device", "crm.optin", "crm.secret",
)  # fmt: skip
_numbers = count(1)


class Side:
    """One team with somebody of every role and a row of every model."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.team = Team.objects.create(
            name=f"{word} team", slug=f"{word}-team", sender_name=word, reply_to=f"{word}@x.org"
        )
        self.users = {role: self._member(role) for role in Role}
        self._live()
        self.rows = {label: self._row_of(apps.get_model(label)) for label in RESOURCES}

    def _member(self, role: Role) -> User:
        name = f"{self.word}-{role.value}@example.org"
        user = User.objects.create_user(name, email=name, first_name=self.word, is_staff=True)
        Member.objects.create(team=self.team, user=user, role=role)
        return user

    def _live(self) -> None:
        """A pipeline with runs, visits, messages and refusals, made the way the product makes them."""
        where = {"field": "contact.lead_source", "operator": "not_equals", "value": f"{self.word} out"}
        trigger = {"type": "created", "model": "contacts.contact", "automatic": True, "where": where}
        steps = [
            email(f"{self.word} text", subject=f"{self.word} subject"),
            {"type": "create_task", "with": {"title": f"{self.word} task"}},
            {"type": "wait", "delay": "1d"},
        ]
        with pretend(NOON):
            import_document(team=self.team, document=document(steps, key=self.word, triggers=[trigger]), activate=True)
            for source in ("in", "out"):
                Contact.objects.create(
                    team=self.team, first_name=self.word, email=f"{self.word}{source}@example.org",
                    lead_source=f"{self.word} {source}", custom={"note": self.word},
                )  # fmt: skip
            process_due_runs()
        create_key(team=self.team, name=f"{self.word} key", role="owner")

    def _row_of(self, model: type[models.Model]) -> Any:
        """A row that exists already, or one filled in by looking at the columns."""
        found = rows_of_team(model=model, team=self.team).order_by("-pk").first()
        return found if found is not None else model._default_manager.create(**dict(self._values(model)))

    def _values(self, model: type[models.Model]) -> Iterator[tuple[str, Any]]:
        for field in model._meta.concrete_fields:
            value = self._value(field)
            if value is not None:
                yield field.name, value

    def _value(self, field: Any) -> Any:
        if field.primary_key and not field.is_relation:
            return None
        if field.is_relation:
            return self._related(field)
        if isinstance(field, models.CharField | models.TextField):
            return self._text(field)
        if isinstance(field, models.DateTimeField):
            return None if field.null or getattr(field, "auto_now_add", False) else datetime(2027, 1, 1, tzinfo=UTC)
        if field.null or field.has_default():
            return None
        if isinstance(field, models.JSONField):
            return {"note": self.word}
        if field.name in ("subject_id", "about_id"):
            return self._row_of(Contact).pk
        return next(_numbers)

    def _related(self, field: Any) -> Any:
        target = field.related_model
        if target is Team:
            return self.team
        if target is User:
            return None if field.null else self.users[Role.OWNER]
        if target is ContentType:
            return ContentType.objects.get_for_model(Contact)
        return None if field.null else self._row_of(target)

    def _text(self, field: Any) -> str | None:
        if field.choices:
            return None if field.has_default() or field.blank else str(field.flatchoices[0][0])
        if field.name == "timezone":
            return "UTC"
        text = f"{self.word}{next(_numbers)}"
        return f"{text}@example.org" if isinstance(field, models.EmailField) else text[: field.max_length or 200]

    def grow(self, count: int) -> None:
        """More of everything: contacts with runs and messages, pipelines, people, and rows of every other table."""
        with pretend(NOON):
            for number in range(count):
                Contact.objects.create(
                    team=self.team, first_name=f"{self.word}{number}", email=f"{self.word}{number}@example.org",
                    lead_source="out" if number % 2 else f"{self.word} out",
                )  # fmt: skip
                steps = [email(f"{number}")]
                import_document(team=self.team, document=document(steps, key=f"{self.word}_{number}"), activate=True)
                user = User.objects.create_user(f"{self.word}{number}", email=f"{self.word}m{number}@example.org")
                Member.objects.create(team=self.team, user=user, role=Role.MEMBER)
                create_key(team=self.team, name=f"key {number}", role="member", created_by=user)
            process_due_runs()
        for label in SIMPLE:
            model = apps.get_model(label)
            for number in range(count):
                model._default_manager.create(**{**dict(self._values(model)), **self._subject(model, number)})

    def _subject(self, model: type[models.Model], number: int) -> dict[str, int]:
        """Each row is about another contact: some tables hold one row a record."""
        about = Contact.objects.filter(team=self.team).order_by("-pk")[number].pk
        return dict.fromkeys(subject_columns(model), about)

    def snapshot(self) -> dict[str, list[dict[str, Any]]]:
        """Every column of every row of this side."""
        return {
            label: list(rows_of_team(model=apps.get_model(label), team=self.team).order_by("pk").values())
            for label in RESOURCES
        }


def subject_columns(model: type[models.Model]) -> list[str]:
    """Names of the columns that hold the id of any kind of record."""
    names = {field.name for field in model._meta.concrete_fields}
    return [name for name in ("subject_id", "about_id") if name in names]
