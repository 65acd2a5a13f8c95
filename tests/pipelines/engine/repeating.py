"""Blocks that fail as long as a contact is no boss, for tests of what is repeated."""

from typing import Any

from django.core import mail

from contacts.models import Contact
from crm.models import Team
from pipelines.models import PipelineRun, StepExecution
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, email
from tests.pipelines.engine.conftest import Run

Step = dict[str, Any]
COUNT: Step = {"name": "count", "type": "number", "default": 0}
LIMIT: Step = {"name": "limit", "type": "number"}
ADD: Step = {"key": "add", "type": "set_variable", "with": {"count": "= count + 1"}}
ORDER = email("order {{ index }}", key="order")
DONE = email("done after {{ count }}", key="done")
# Fails as long as the contact is no boss.
PICKY: Step = {"key": "picky", "type": "condition", "if": "contact.job_title == 'Boss'", "on": {"false": "fail"},
               "next": "end"}  # fmt: skip


def mend() -> None:
    Contact.objects.update(job_title="Boss")


def loop(*steps: Step, key: str = "rounds", **rules: Any) -> Step:
    return {"key": key, "type": "loop", "with": {"steps": list(steps), **rules}}


def orders(**rules: Any) -> Step:
    """Rounds that each order something and count themselves."""
    return loop(ORDER, ADD, export=["count"], **rules)


def fork(*branches: tuple[str, list[Step]], **rules: Any) -> Step:
    named = [{"name": name, "steps": steps} for name, steps in branches]
    return {"key": "fork", "type": "parallel", "with": {"branches": named, **rules}}


def wait(key: str, delay: str = "0s", **more: Any) -> Step:
    return {"key": key, "type": "wait", "delay": delay, **more}


def begun(team: Team, run_at: Run, *steps: Step, **more: Any) -> PipelineRun:
    active(team, steps, **{"variables": [COUNT, LIMIT], **more})
    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    run_at(NOON)
    return PipelineRun.objects.get(subject_id=contact.pk, parent=None)


def state(run: PipelineRun) -> RunStatus:
    run.refresh_from_db()
    return RunStatus(run.status)


def sent() -> list[str]:
    return [message.body.split("\n")[0] for message in mail.outbox]


def said(run: PipelineRun) -> list[str]:
    rows = StepExecution.objects.filter(run_id=run.pk).exclude(error=None).order_by("id")
    return [str(row.error) for row in rows]
