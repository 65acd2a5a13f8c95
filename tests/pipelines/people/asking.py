"""Builders of tests about people: members, and a pipeline that asks."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User

from contacts.models import Contact
from crm.models import Member, Task, Team
from pipelines.models import HumanTask, PipelineRun
from tests.pipelines.engine.building import active

FORM = [
    {"name": "callDate", "type": "datetime", "required": True},
    {"name": "agenda", "type": "text"},
    {"name": "size", "type": "select", "options": ["small", "large"]},
]


def member(team: Team, name: str, *, role: str = "member", groups: Sequence[str] = ()) -> User:
    user = User.objects.create_user(name, email=f"{name}@acme.example", first_name=name.title(), is_staff=True)
    Member.objects.create(team=team, user=user, role=role, groups=list(groups))
    return user


def ask(team: Team, *, then: Sequence[dict[str, Any]] = (), **step: Any) -> None:
    """A pipeline whose first step asks; what it stores can be read from the run's variables."""
    given = {"title": "Is {{ contact.name }} a fit?", "form": FORM, **step.pop("given", {})}
    variables = [{"name": "verdict", "type": "any"}, {"name": "when", "type": "any"}]
    steps = [
        {
            "key": "ask",
            "type": "human_task",
            "with": given,
            "set": {"verdict": "{{ steps.ask.outcome }}", "when": "{{ steps.ask.callDate }}"},
            **step,
        },
        *then,
    ]
    active(team, steps, variables=variables)


def enter(team: Team, name: str = "Bo", **more: Any) -> PipelineRun:
    Contact.objects.create(team=team, first_name=name, email=f"{name.lower()}@example.org", **more)
    return PipelineRun.objects.order_by("-pk")[0]


def the_task() -> tuple[Task, HumanTask]:
    human = HumanTask.objects.select_related("task").get()
    return human.task, human


def variables(run: PipelineRun) -> dict[str, Any]:
    found: dict[str, Any] = PipelineRun.objects.select_related("context").get(pk=run.pk).context.vars
    return found
