"""Templates that stand in rows read what those written in steps read."""

from typing import Any

from django.contrib.contenttypes.models import ContentType

from contacts.models import Company, Contact
from crm.models import MessageTemplate, Team
from pipelines.engine.events import Fact, publish_all
from pipelines.models import GoalHit, PipelineRun, RunContext
from tests.pipelines.engine.building import NOON, active, later
from tests.pipelines.engine.conftest import Run
from tests.sinks.smtp import SmtpSink

FIND: dict[str, Any] = {"key": "lookup", "type": "find_records", "with": {"model": "contacts.contact"}}


def test_a_stored_template_reads_outputs_of_steps(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    MessageTemplate.objects.create(
        team=team, key="hello", name="Hello", topic="",
        subject="{{ steps.lookup.count }} {{ steps.inner.count }} {{ steps.rounds.items.size }}",
        text="{{ vars.n }} {{ contact.company.name }} {{ trigger.fields.size }}",
    )  # fmt: skip
    inner = {**FIND, "key": "inner", "delay": "1h"}
    fork = {"key": "fork", "type": "parallel", "with": {"branches": [{"name": "a", "steps": [inner]}]}}
    loop = {"key": "rounds", "type": "loop", "with": {"times": 3, "steps": [{**FIND, "key": "round", "delay": "1h"}]}}
    send = {"type": "send_email", "delay": "1d", "with": {"template": "hello"}}
    active(team, [FIND, fork, loop, send], variables=[{"name": "n", "type": "number", "default": 7}])
    company = Company.objects.create(team=team, name="Acme")
    Contact.objects.create(team=team, email="a@example.org", company=company)
    for hours in range(48):
        run_at(later(hours=hours))
    (mail,) = smtp.receipts.all()
    assert "Subject: 1 1 3" in mail["raw"] and "7 Acme" in mail["raw"]


def test_goals_and_exits_read_outputs_of_steps(team: Team, run_at: Run) -> None:
    rules: dict[str, Any] = {
        "goals": [{"key": "sold", "event": "sold", "value": "= steps.lookup.count * 10"}],
        "exit": [{"event": "bye", "where": "steps.again.count == 1"}],
    }
    active(team, [FIND, {**FIND, "key": "again"}, {"type": "wait", "delay": "30d"}], **rules)
    ann = Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    kind = ContentType.objects.get_for_model(Contact).pk
    publish_all([Fact(team.pk, "sold", kind, ann.pk, {}), Fact(team.pk, "bye", kind, ann.pk, {})])
    run_at(later(hours=1))
    assert GoalHit.objects.get().value == 10
    assert PipelineRun.objects.get().reason == "bye"


def test_outputs_that_no_template_reads_are_not_kept(team: Team, run_at: Run, smtp: SmtpSink) -> None:
    MessageTemplate.objects.create(team=team, key="hello", name="Hello", subject="Hi", text="Hi", topic="")
    active(team, [FIND, {"type": "send_email", "delay": "1d", "with": {"template": "hello"}}])
    Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    assert not RunContext.objects.exists()
