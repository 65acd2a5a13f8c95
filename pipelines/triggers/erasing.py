"""What runs, events and webhooks hold of a person who is erased: emptied, so that only their numbers stay."""

import json
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from contacts import erasing
from contacts.holdings import more_holdings
from crm.erasing import ERASED
from crm.holdings import Person
from pipelines.engine.controls import cancel_runs
from pipelines.models import (
    Effect,
    EnrollmentDecision,
    Event,
    EventKey,
    EventWait,
    HookDelivery,
    HumanTask,
    PipelineRun,
    Quiet,
    RunContext,
    StepExecution,
    WebhookDelivery,
)
from pipelines.states import RunStatus
from pipelines.triggers.holdings import all_holdings, pipeline_holdings, run_holdings, told_of

LIVE = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING, RunStatus.PAUSED)


def connect() -> None:
    """Register; called once when the apps are ready."""
    erasing.erasers.register(erase_runs)
    erasing.tables.register(searched)
    more_holdings.register(all_holdings)


def erase_runs(person: Person, /) -> dict[str, int]:
    """End the person's runs and empty them, with the events and webhooks that were about them."""
    held = pipeline_holdings(person)
    mine = PipelineRun.objects.filter(person.about("subject"))
    roots = list(mine.values_list("pk", flat=True))
    cancel_runs(run_ids=list(mine.filter(status__in=LIVE).values_list("pk", flat=True)), reason=ERASED)
    of_runs = run_holdings(list(held["runs"].values_list("pk", flat=True)))
    of_runs["memory"].update(trigger={}, vars={}, outputs={}, locals={})
    of_runs["visits"].update(why=None, output=None, error=None)
    of_runs["effects"].update(payload={}, result=None, error=None)
    of_runs["waits"].update(match=None, match_names="", where=None, payload=None)
    of_runs["forms"].update(form=[], response=None)
    of_runs["incoming_webhooks"].update(body={}, outcome=ERASED)
    events = held["events"].update(payload={}, key=None)
    held["decisions"].update(why=None)
    held["quiet"].delete()
    return {"runs": len(roots), "events": events, "webhooks": _empty_deliveries(person)}


def _empty_deliveries(person: Person) -> int:
    """What webhooks were told of the person: receivers still hear that something happened to the id, and no more."""
    rows = []
    for row, body in told_of(person):
        body["data"]["payload"] = {}
        row.body, row.answer = json.dumps(body), ""
        rows.append(row)
    WebhookDelivery.objects.bulk_update(rows, ["body", "answer"], batch_size=500)
    return len(rows)


def searched(team_id: int, /) -> Iterator[QuerySet[Any]]:
    """Tables in whose texts the person may be named although the row is about somebody else."""
    runs = PipelineRun.objects.filter(pipeline__team=team_id).values("pk")
    for model in (RunContext, Effect, HumanTask, EventWait):
        yield model._default_manager.filter(run__in=runs)
    yield StepExecution.objects.filter(run_id__in=runs)
    yield Event.objects.filter(team=team_id)
    yield EventKey.objects.filter(team=team_id)
    yield EnrollmentDecision.objects.filter(pipeline__team=team_id)
    yield Quiet.objects.filter(trigger__pipeline__team=team_id)
    yield HookDelivery.objects.filter(hook__team=team_id)
    yield WebhookDelivery.objects.filter(webhook__team=team_id)
