"""What runs, events and webhooks hold of a person who is erased: emptied, so that only their numbers stay."""

import json
from collections.abc import Iterator
from typing import Any

from django.db.models import Q, QuerySet

from contacts import erasing
from crm.erasing import ERASED, Person
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
from pipelines.subjects import subject_label

LIVE = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING, RunStatus.PAUSED)


def connect() -> None:
    """Register; called once when the apps are ready."""
    erasing.erasers.register(erase_runs)
    erasing.tables.register(searched)


def erase_runs(person: Person, /) -> dict[str, int]:
    """End the person's runs and empty them, with the events and webhooks that were about them."""
    mine = PipelineRun.objects.filter(person.about("subject"))
    cancel_runs(run_ids=list(mine.filter(status__in=LIVE).values_list("pk", flat=True)), reason=ERASED)
    roots = list(mine.values_list("pk", flat=True))
    ids = list(PipelineRun.objects.filter(Q(pk__in=roots) | Q(root__in=roots)).values_list("pk", flat=True))
    RunContext.objects.filter(run__in=ids).update(trigger={}, vars={}, outputs={}, locals={})
    StepExecution.objects.filter(run_id__in=ids).update(why=None, output=None, error=None)
    Effect.objects.filter(run__in=ids).update(payload={}, result=None, error=None)
    EventWait.objects.filter(run__in=ids).update(match=None, match_names="", where=None, payload=None)
    HumanTask.objects.filter(run__in=ids).update(form=[], response=None)
    events = Event.objects.filter(person.about("subject"), team_id=person.team_id).update(payload={}, key=None)
    EnrollmentDecision.objects.filter(person.about("subject")).update(why=None)
    Quiet.objects.filter(person.about("subject")).delete()
    HookDelivery.objects.filter(run_id__in=ids).update(body={}, outcome=ERASED)
    return {"runs": len(roots), "events": events, "webhooks": _empty_deliveries(person)}


def _empty_deliveries(person: Person) -> int:
    """What webhooks were told of the person: receivers still hear that something happened to the id, and no more."""
    about = {"type": subject_label(person.type_id, ""), "id": person.pk}
    told = WebhookDelivery.objects.filter(webhook__team=person.team_id, body__contains=json.dumps(about)[1:-1])
    rows = []
    for row in told.iterator():
        body = json.loads(row.body)
        if body["data"]["subject"] == about:
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
