"""Fills an empty installation with the demo and lets the real engine live through three weeks."""

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Max, Value
from django.db.models.functions import Least

from contacts.models import Activity, Company, Contact, Deal, FieldDefinition
from contacts.operations import add_note, bulk_create_contacts
from crm.models import Member, Message, Task, Team, Topic
from crm.models.member import Role
from crm.people import set_manager
from crm.teams import create_team
from pipelines.demo.people import COMPANIES, FIELDS, employees, people
from pipelines.engine.clock import pretend
from pipelines.engine.controls import cancel_runs, pause_runs
from pipelines.engine.enroll import enroll
from pipelines.engine.tick import process_due_runs
from pipelines.models import Pipeline, PipelineRun
from pipelines.operations import activate, import_document
from pipelines.recipes.gallery import recipes
from pipelines.recipes.using import use_recipe
from pipelines.states import RunStatus

SLUG: Final = "demo"
DAYS: Final = 21
# Recipes of the gallery: one at work, the others as one takes them, to look at and to change.
SURVEY: Final = "nps_survey"
SURVEY_BEGINS: Final = 4
DRAFTS: Final = ("no_show_follow_up", "renewal_reminders")
DOCUMENTS: Final = Path(__file__).parent / "documents"
NAMES: Final = {
    Role.OWNER: ("Olivia", "Owens"),
    Role.ADMIN: ("Adam", "Adler"),
    Role.MANAGER: ("Maya", "Mann"),
    Role.MEMBER: ("Milan", "Moser"),
    Role.VIEWER: ("Vera", "Vogt"),
}
# Who works under whom.
UNDER: Final = {
    Role.ADMIN: Role.OWNER,
    Role.MANAGER: Role.OWNER,
    Role.MEMBER: Role.MANAGER,
    Role.VIEWER: Role.MANAGER,
}
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Login:
    """A user of the demo; the password exists nowhere else."""

    role: str
    username: str
    password: str


def demo_exists() -> bool:
    return Team.objects.filter(slug=SLUG).exists()


def load_demo(*, now: datetime, tell: Tell) -> list[Login]:
    """Create the demo team and its history; the logins are told once and never again."""
    with transaction.atomic():
        team = create_team(name="Foxglove Studio", slug=SLUG, timezone="Europe/Berlin")
        logins = [_add_user(team, role) for role in Role]
        _name_managers(team)
        companies = _add_companies(team)
        _add_topics(team)
        FieldDefinition.objects.bulk_create(FieldDefinition(team=team, **field) for field in FIELDS)
    # The last people came this morning, two hours ago.
    start = now - timedelta(days=DAYS - 1, hours=2)
    with pretend(start):
        pipelines = {path.stem: _import(team, path) for path in sorted(DOCUMENTS.glob("*.json"))}
        pipelines |= {key: _from_gallery(team, key) for key in (SURVEY, *DRAFTS)}
        activate(pipeline=pipelines[SURVEY])
    _live_through(team, companies, pipelines, start, now, tell)
    _add_deals_and_notes(team, now)
    _finish_some_tasks(team, now)
    tell("")
    return logins


def _add_user(team: Team, role: Role) -> Login:
    first, last = NAMES[role]
    login = Login(role.label, f"{first.lower()}@demo.example", secrets.token_urlsafe(9))
    user = User.objects.create_user(
        login.username, email=login.username, password=login.password, first_name=first, last_name=last, is_staff=True
    )
    Member.objects.create(team=team, user=user, role=role)
    return login


def _name_managers(team: Team) -> None:
    members = {member.role: member for member in Member.objects.for_team(team)}
    for role, above in UNDER.items():
        set_manager(member=members[role], manager=members[above])


def _add_topics(team: Team) -> None:
    """What the readers of its mail choose from."""
    Topic.objects.create(
        team=team, key="marketing", name="News and offers", description="What is new at the studio, once a month."
    )
    Topic.objects.create(
        team=team, key="tips", name="Tips", description="Six short letters in your first weeks.", confirm=True
    )


def _add_companies(team: Team) -> list[Company]:
    return Company.objects.bulk_create(
        [
            Company(team=team, name=name, domain=domain, industry=field, custom={"employees": count})
            for (name, domain, field), count in zip(COMPANIES, employees(), strict=False)
        ]
    )


def _import(team: Team, path: Path) -> Pipeline:
    return import_document(team=team, document=json.loads(path.read_text("utf-8")), activate=True)


def _from_gallery(team: Team, key: str) -> Pipeline:
    """A recipe as somebody takes it from the gallery, with the templates that it needs."""
    return use_recipe(recipe=recipes()[key], team=team, may=lambda verb, resource: True).pipeline


def _live_through(
    team: Team, companies: Sequence[Company], pipelines: dict[str, Pipeline], start: datetime, now: datetime, tell: Tell
) -> None:
    """Contacts arrive day by day, and the engine works at noon and in the evening of each."""
    arriving = list(people())
    for day in range(DAYS):
        tell(f"Living through day {day + 1} of {DAYS}")
        morning = start + timedelta(days=day)
        with pretend(morning):
            _arrive(team, companies, arriving[_arrived(day, len(arriving)) : _arrived(day + 1, len(arriving))], morning)
            if day == 4:
                _win_back(team, pipelines["win_back"])
            if day >= SURVEY_BEGINS:
                _ask_customer(team, pipelines[SURVEY], day - SURVEY_BEGINS)
        for hours in (1, 9, 23):
            _work(min(now, morning + timedelta(hours=hours)))
        if day == DAYS - 3:
            _stop_some(team)


def _arrived(day: int, people: int) -> int:
    """How many are there when a day begins; the last ones come on the last day."""
    return people * day // DAYS


def _work(moment: datetime) -> None:
    """Work off what is due; messages and tasks carry the day on which they were made."""
    letters, tasks = (model.objects.aggregate(last=Max("pk"))["last"] or 0 for model in (Message, Task))
    with pretend(moment):
        process_due_runs()
    Message.objects.filter(pk__gt=letters).update(created_at=moment)
    Task.objects.filter(pk__gt=tasks).update(created_at=moment)


def _arrive(team: Team, companies: Sequence[Company], values: Sequence[dict[str, Any]], moment: datetime) -> None:
    items = [
        {**item, "company": companies[item["company"]] if item["company"] is not None else None} for item in values
    ]
    created = bulk_create_contacts(team=team, items=items)
    Contact.objects.filter(pk__in=[contact.pk for contact in created]).update(created_at=moment)


def _win_back(team: Team, pipeline: Pipeline) -> None:
    former = Contact.objects.for_team(team).filter(lifecycle_stage__in=["former", "customer"]).order_by("pk")
    enroll(pipeline=pipeline, subject_ids=list(former.values_list("pk", flat=True)[:12]))


def _ask_customer(team: Team, pipeline: Pipeline, number: int) -> None:
    """One a day, so that nobody is asked twice and the survey never falls silent."""
    customers = Contact.objects.for_team(team).filter(lifecycle_stage="customer").order_by("pk")
    enroll(pipeline=pipeline, subject_ids=list(customers.values_list("pk", flat=True)[number : number + 1]))


def _stop_some(team: Team) -> None:
    """An operator's hand: some runs are paused, some cancelled."""
    waiting = PipelineRun.objects.filter(pipeline__team=team, status=RunStatus.PENDING.value).order_by("pk")
    ids = list(waiting.values_list("pk", flat=True)[:9])
    pause_runs(run_ids=ids[:5])
    cancel_runs(run_ids=ids[5:], reason="cancelled")


def _add_deals_and_notes(team: Team, now: datetime) -> None:
    owner = User.objects.get(memberships__team=team, memberships__role=Role.MANAGER)
    stages = list(Deal.Stage)
    contacts = list(Contact.objects.for_team(team).exclude(company=None).select_related("company").order_by("pk")[:30])
    Deal.objects.bulk_create(
        [
            Deal(
                team=team,
                title=f"Redesign for {contact.company}",
                contact=contact,
                company=contact.company,
                owner=owner,
                stage=stages[index % len(stages)],
                amount=1_500 + 750 * index,
                expected_close=(now + timedelta(days=5 * index)).date(),
            )
            for index, contact in enumerate(contacts)
        ]
    )
    for contact, text in zip(contacts, _notes(), strict=False):
        add_note(subject=contact, team=team, text=text, by=owner, kind=Activity.Kind.CALL, at=now - timedelta(days=2))


def _notes() -> Iterator[str]:
    yield "Called back, wants to see the samples before deciding."
    yield "Asked for an invoice in two parts."
    yield "Met at the trade fair; likes the blue one."


def _finish_some_tasks(team: Team, now: datetime) -> None:
    """The people of the demo have not been idle either."""
    member, owner = (
        User.objects.get(memberships__team=team, memberships__role=role) for role in (Role.MEMBER, Role.OWNER)
    )
    done = Least(F("created_at") + timedelta(days=1), Value(now))
    ids = list(Task.objects.for_team(team).order_by("pk").values_list("pk", flat=True))
    Task.objects.filter(pk__in=ids[::3]).update(status=Task.Status.DONE, completed_at=done, assignee=member)
    Task.objects.filter(pk__in=ids[1::3]).update(assignee=member)
    Task.objects.filter(pk__in=ids[2::9]).update(assignee=owner)
