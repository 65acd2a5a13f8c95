"""What was sent is an event: it starts runs, wakes those who wait, and circles of letters end."""

from contacts.models import Contact
from crm.models import Team
from pipelines.models import Event, PipelineRun
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active, email, later
from tests.pipelines.engine.conftest import Run
from tests.sinks.smtp import SmtpSink

HOLD = [{"key": "hold", "type": "wait", "delay": "30d"}]


def test_a_letter_that_left_starts_runs_and_wakes_who_waits(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    active(team, [email(subject="Welcome")], key="sender")
    where = {"field": "trigger.subject", "operator": "equals", "value": "Welcome"}
    heard = active(team, HOLD, key="heard", triggers=[{"type": "event", "event": "email_sent", "where": where}])
    waits = {
        "type": "wait_for",
        "timeout": "9d",
        "on": {"timeout": "end"},
        "with": {"events": [{"event": "email_sent"}]},
    }
    waiting = active(team, [waits], key="waiting")
    contact = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    Contact.objects.create(team=team, first_name="Nobody")
    run_at(NOON)
    run_at(later(minutes=1))
    (event,) = Event.objects.filter(type="email_sent")
    sender = PipelineRun.objects.get(pipeline__key="sender", subject_id=contact.pk)
    assert event.subject_id == contact.pk and event.payload["email"] == "ann@example.org"
    assert (event.payload["run"], event.depth, event.origin_id) == (sender.pk, 1, sender.pipeline_id)
    assert PipelineRun.objects.get(pipeline=heard).subject_id == contact.pk
    states = {run.subject_id: run.status for run in PipelineRun.objects.filter(pipeline=waiting)}
    assert states[contact.pk] == RunStatus.COMPLETED and RunStatus.WAITING in states.values()


def test_pipelines_that_answer_each_letter_with_a_letter_come_to_an_end(
    team: Team, run_at: Run, smtp: SmtpSink
) -> None:
    active(team, [email()], triggers=[{"type": "event", "event": "email_sent", "reentry": "always"}], key="echo")
    active(team, [email()], key="first")
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    for minute in range(12):
        run_at(later(minutes=minute))
    assert len(smtp.recipients()) == 9
