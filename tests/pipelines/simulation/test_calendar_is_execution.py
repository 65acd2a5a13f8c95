"""What the calendar of a contact promises is what the engine then sends, whatever the pipelines and the rules."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.models import Q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contacts.models import Contact
from crm.models import Message, Suppression, Team
from pipelines.engine.clock import pretend
from pipelines.engine.deliver import delivered_by
from pipelines.models import Pipeline, PipelineRun, SendingRules
from pipelines.operations import import_document
from pipelines.simulation.calendar import calendar_of
from pipelines.simulation.play import Outside, not_over, play
from pipelines.simulation.twin import OutsideTwin
from tests.examples import examples
from tests.pipelines.engine.building import NOON, active, document, email, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.simulation.stories import VARIABLES, steps
from tests.sinks.smtp import SmtpSink

SPAN = timedelta(days=60)
CAPS: list[list[str]] = [[], ["1 per day"], ["2 per day", "3 per week"], ["1 per 12h"]]
WINDOWS: list[dict[str, Any]] = [
    {},
    {"quiet": "21:00-08:00", "tz": "subject"},
    {"days": ["mon", "tue", "thu"], "hours": "09:00-17:00", "tz": "Europe/Berlin"},
]


@st.composite
def situations(draw: Any) -> dict[str, Any]:
    """A few pipelines with priorities, the rules of the team, and how long it all has been going on."""
    lines = [draw(steps(depth=1, stem=f"{name}s")) for name in "abc"[: draw(st.integers(1, 3))]]
    return {
        "lines": [(line, draw(st.integers(0, 9))) for line in lines],
        "caps": draw(st.sampled_from(CAPS)),
        "window": draw(st.sampled_from(WINDOWS)),
        "skips": draw(st.booleans()),
        "off": draw(st.integers(0, 5)) == 0,
        "after": timedelta(hours=draw(st.integers(0, 150))),
    }


def work(start: datetime, until: datetime) -> None:
    """The engine itself in the real database, from one moment to another."""
    with delivered_by(OutsideTwin({})):
        said = play(start=start, until=until, outside=Outside(), after_each=lambda now: None, seconds=600)
    assert said in ([], [not_over(until)])


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=examples(6),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(situations())
def test_the_calendar_tells_what_is_then_sent(furnished: Team, situation: dict[str, Any]) -> None:
    ann = newcomer(furnished, situation)
    here = NOON + situation["after"]
    work(NOON, here)
    before = set(Message.objects.values_list("pk", flat=True).exclude(state=Message.State.QUEUED))
    promised = calendar_of(team=furnished, contact=ann, now=here, days=SPAN.days, seconds=600)
    work(here, here + SPAN)
    hers = Q(recipient__in=[ann.email, ann.phone]) | Q(channel="push", about_id=ann.pk)
    happened = Message.objects.filter(hers).exclude(pk__in=before)
    sent = happened.filter(state=Message.State.SENT)
    skipped = happened.filter(state=Message.State.SKIPPED, reason="frequency_cap")
    messages = [item for item in promised["items"] if item["kind"] == "message"]
    leaving = [item for item in messages if item["verdict"] in ("sent", "held") and item["at"] <= here + SPAN]
    capped = [item for item in messages if (item["verdict"], item["rule"]) == ("skipped", "frequency_cap")]
    assert sorted((item["at"], item["channel"]) for item in leaving) == sorted(sent.values_list("sent_at", "channel"))
    assert sorted(mail["subject"] for mail in leaving if mail["channel"] == "email") == sorted(
        sent.filter(channel="email").values_list("subject", flat=True)
    )
    assert len(capped) == skipped.count()


def newcomer(team: Team, situation: dict[str, Any]) -> Contact:
    """A contact in new pipelines, under rules that hold from now on."""
    Message.objects.all().delete()
    PipelineRun.objects.all().delete()
    Pipeline.objects.filter(key__startswith="p").update(status=Pipeline.Status.ARCHIVED)
    rules = {
        "caps": situation["caps"],
        "window": situation["window"],
        "when_capped": "skip" if situation["skips"] else "wait",
    }
    SendingRules.objects.update_or_create(team=team, defaults=rules)
    count = Contact.objects.count()
    for n, (line, priority) in enumerate(situation["lines"]):
        chosen = {"max_hops": 12, "priority": priority}
        import_document(
            team=team, activate=True,
            document=document(line, key=f"p{count}_{n}", settings=chosen, variables=VARIABLES),
        )  # fmt: skip
    address = f"ann{count}@example.org"
    if situation["off"]:
        Suppression.objects.create(team=team, address=address, topic="marketing", reason="unsubscribed")
    with pretend(NOON):
        return Contact.objects.create(
            team=team, first_name="Ann", email=address, phone="+4915112345679", timezone="America/New_York"
        )


def test_a_mail_server_gets_what_the_calendar_said_when_it_said_so(team: Team, smtp: SmtpSink, run_at: Run) -> None:
    SendingRules.objects.create(team=team, caps=["1 per day"], window={"quiet": "21:00-08:00", "tz": "team"})
    wait = {"key": "wait", "type": "wait_for", "timeout": "2d", "with": {"events": [{"event": "order.paid"}]},
            "on": {"order.paid": "end", "timeout": "two"}}  # fmt: skip
    active(
        team,
        [
            email(subject="One"),
            wait,
            {"key": "two", **email(subject="Two")},
            {"delay": "10h", **email(subject="Three")},
        ],
    )
    active(team, [{"delay": "1h", **email(subject="Four")}], key="vip", settings={"priority": 9})
    ann = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    run_at(later(minutes=5))
    promised = calendar_of(team=team, contact=ann, now=later(minutes=5))["items"]
    letters = [item for item in promised if item["kind"] == "message"]
    assert {item["verdict"] for item in letters} == {"sent", "held"} and len(letters) == 3
    for item in letters:
        run_at(item["at"] - timedelta(minutes=1))
        assert item["subject"] not in subjects(smtp)
        run_at(item["at"])
        assert subjects(smtp)[-1] == item["subject"]


def subjects(smtp: SmtpSink) -> list[str]:
    return [str(mail["subject"]) for mail in smtp.messages()]
