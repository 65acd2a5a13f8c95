"""What processes do in the fault tests with random documents: begin a life, pass its hours, say what became."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q

from contacts.models import Contact
from crm import faults
from crm.models import Message, Task, Team
from pipelines.doctor import examine
from pipelines.engine.clock import pretend
from pipelines.engine.outbound import webhook_id
from pipelines.engine.tick import process_due_runs
from pipelines.models import Effect, Pipeline, PipelineRun, PipelineStep, StepExecution
from tests.faults.deeds import end_leases, open_channels
from tests.pipelines.engine.building import NOON, later
from tests.pipelines.engine.company import (
    Documents,
    asked_of,
    enter,
    furnish,
    happen,
    next_try,
    open_children_are_right,
    published,
    results,
)

LETTERS = {"send_sms", "send_whatsapp", "send_push", "send_chat"}


def begin(life: str, seeds: list[int], url: str) -> None:
    """A team with the random pipelines of these seeds, and their people in them."""
    team = Team.objects.create(name=life, slug=life)
    with pretend(NOON):
        furnish(team)
        open_channels(LETTERS, team=team)
        for seed in seeds:
            published(team, seed, url=url)
        enter(team, seeds)


def outside(life: str, hour: int) -> None:
    """What comes from outside half an hour before this one."""
    team = Team.objects.get(slug=life)
    subjects = list(Contact.objects.filter(team=team).order_by("pk").values_list("pk", flat=True))
    with pretend(later(hours=hour - 0.5)):
        happen(team, hour, subjects)


def look(at: str) -> dict[str, int]:
    """Do whatever is due at this moment, when the leases of those who broke are over; how often points were passed."""
    end_leases()
    faults.count()
    with pretend(datetime.fromisoformat(at)):
        while process_due_runs().more:
            pass
    return dict(faults.MET)


def tried_next(at: str, hour: int) -> datetime | None:
    """When calls that failed are tried again before the middle of this hour; counters of open children are right."""
    assert open_children_are_right()
    return next_try(after=datetime.fromisoformat(at), before=later(hours=hour + 0.5))


def became(life: str, seeds: list[int], url: str) -> dict[int, dict[str, Any]]:
    """By seed: how its runs ended, by which ways, and the numbers of the contacts for whom something is in doubt."""
    team = Team.objects.get(slug=life)
    return {seed: _became(Pipeline.objects.get(team=team, key=f"p{seed}"), seed, url) for seed in seeds}


def _became(pipeline: Pipeline, seed: int, url: str) -> dict[str, Any]:
    steps = Documents(seed, url=url).whole()[0]
    runs = asked_of(pipeline, steps)
    first = min(run.subject_id or 0 for run in runs)
    doubtful = Effect.objects.filter(status=Effect.Status.UNCERTAIN, run_id__in=_all_inside(pipeline))
    doubted = PipelineRun.objects.filter(pk__in=doubtful.values("run_id"))
    return {
        "rows": results(pipeline, steps),
        "ways": _ways(runs, first),
        "doubted": sorted({(pk or 0) - first for pk in doubted.values_list("subject_id", flat=True)}),
    }


def _all_inside(pipeline: Pipeline) -> Any:
    """The runs of a pipeline and those of others that they called."""
    roots = PipelineRun.objects.filter(pipeline=pipeline)
    return (roots | PipelineRun.objects.filter(root__pipeline=pipeline)).values("pk")


def _ways(runs: Sequence[PipelineRun], first: int) -> list[list[Any]]:
    """(contact, place inside, visit, step, outcome) of every completed visit of these runs.

    Which variant somebody gets is drawn from the number of the record, which is another in each life.
    """
    place = {run.pk: ((run.subject_id or 0) - first, run.parent_seq or 0, run.slot or 0) for run in runs}
    steps = PipelineStep.objects.filter(pipeline=runs[0].pipeline_id)
    keys = dict(steps.values_list("pk", "key"))
    drawn = set(steps.filter(action_type="split").values_list("pk", flat=True))
    visits = StepExecution.objects.filter(run_id__in=place, event=StepExecution.Event.COMPLETED)
    rows = visits.values_list("run_id", "seq", "step_id", "outcome")
    return sorted(
        [*place[run], seq, keys.get(step, ""), "" if step in drawn else outcome or ""]
        for run, seq, step, outcome in rows
    )


def owed() -> dict[str, Any]:
    """What the database says has left: calls by their id, letters by channel and address, tasks by run."""
    calls = Effect.objects.filter(kind=Effect.Kind.HTTP)
    letters: dict[str, list[int]] = {}
    for channel, recipient, state in Message.objects.values_list("channel", "recipient", "state"):
        least_and_most = letters.setdefault(f"{channel} {recipient}", [0, 0])
        least_and_most[0] += state == Message.State.SENT
        least_and_most[1] += state in (Message.State.SENT, Message.State.UNCERTAIN)
    made = StepExecution.objects.filter(event=StepExecution.Event.COMPLETED, outcome="next")
    makes = Q(action_type="create_task") | Q(action_type="create_record", data__model="crm.task")
    tasks = PipelineStep.objects.filter(makes).values("pk")
    done = Counter(made.filter(step_id__in=tasks).values_list("run_id", flat=True))
    by_runs = Task.objects.filter(human=None).values_list("run_id", flat=True)
    there = Counter(run_id for run_id in by_runs if run_id is not None)
    return {
        "calls": {webhook_id(call): [call.get_status_display(), call.attempt] for call in calls},
        "letters": letters,
        "tasks": [[run, done[run], there[run]] for run in sorted({*done, *there}) if done[run] != there[run]],
    }


def findings(hour: int) -> list[str]:
    """Codes of what the doctor finds at this hour."""
    with pretend(later(hours=hour)):
        return sorted({finding.code for finding in examine(minutes=5)})
