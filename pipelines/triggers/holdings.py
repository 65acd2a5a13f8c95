"""What runs, events and webhooks hold of a person; erasing empties these rows, handing out reads them."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import Q, QuerySet

from crm.holdings import Holdings, Person
from pipelines.models import (
    Effect,
    EnrollmentDecision,
    Event,
    EventWait,
    GoalHit,
    HookDelivery,
    HumanTask,
    PipelineRun,
    Quiet,
    RunContext,
    StepExecution,
    WebhookDelivery,
)
from pipelines.subjects import subject_label


def pipeline_holdings(person: Person, /) -> Holdings:
    """Rows by their names; those of `run_holdings` stand apart, for they are found by the runs."""
    mine = PipelineRun.objects.filter(person.about("subject"))
    return {
        "runs": PipelineRun.objects.filter(Q(pk__in=mine.values("pk")) | Q(root__in=mine.values("pk"))),
        "events": Event.objects.filter(person.about("subject"), team_id=person.team_id),
        "decisions": EnrollmentDecision.objects.filter(person.about("subject")),
        "quiet": Quiet.objects.filter(person.about("subject")),
    }


def run_holdings(runs: Sequence[int] | QuerySet[Any]) -> Holdings:
    """What belongs to these runs: what they remember, did, wait for and were answered."""
    return {
        "memory": RunContext.objects.filter(run__in=runs),
        "visits": StepExecution.objects.filter(run_id__in=runs),
        "effects": Effect.objects.filter(run__in=runs),
        "waits": EventWait.objects.filter(run__in=runs),
        "forms": HumanTask.objects.filter(run__in=runs),
        "goals": GoalHit.objects.filter(run__in=runs),
        "incoming_webhooks": HookDelivery.objects.filter(run_id__in=runs),
    }


def told_of(person: Person) -> Iterator[tuple[WebhookDelivery, dict[str, Any]]]:
    """What other systems were told of the person, with the body as it was read."""
    about = {"type": subject_label(person.type_id, ""), "id": person.pk}
    told = WebhookDelivery.objects.filter(webhook__team=person.team_id, body__contains=json.dumps(about)[1:-1])
    for row in told.iterator():
        body = json.loads(row.body)
        if body["data"]["subject"] == about:
            yield row, body


def all_holdings(person: Person, /) -> Holdings:
    """Everything of this app, for who only reads."""
    held = pipeline_holdings(person)
    told = [row.pk for row, _ in told_of(person)]
    return {
        **held,
        **run_holdings(held["runs"].order_by().values("pk")),
        "outgoing_webhooks": WebhookDelivery.objects.filter(pk__in=told),
    }
