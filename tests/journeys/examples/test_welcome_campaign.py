"""Welcome campaign: mail at sign-up, push after five minutes, and the record marked ten minutes after the start.

The event `user_signup` lets in who has confirmed the address; stories about what follows start it by hand.
"""

from contacts.models import Contact
from tests.journeys.examples.stage import Stage
from tests.sinks.smtp import SmtpSink


def ready(stage: Stage) -> None:
    stage.template("welcome_email", text="Hello {{ user_name }}, you came on {{ signup_date }}")
    stage.template("welcome_push")
    stage.loaded("welcome_campaign_001")


def test_a_sign_up_gets_mail_push_and_a_mark_counted_from_the_start(stage: Stage) -> None:
    ready(stage)
    ann = stage.contact(last_name="Lee", custom={"device_token": "tok", "email_verified": True})
    run = stage.trigger("welcome_campaign_001", ann, payload={"source": "app"})
    assert stage.walk(0, 5) == [
        (0, "email", "ann@example.org", "Welcome to Appgain!"), (5, "push", "tok", "Welcome!"),
    ]  # fmt: skip
    assert stage.texts()[0].startswith("Hello Ann Lee, you came on 20")
    assert stage.letters() == ["Thanks for joining Appgain"], "the words of the step, not those of the template"
    stage.walk(9)
    assert "onboarding_completed" not in Contact.objects.get(pk=ann).custom
    stage.walk(10)
    marks = stage.api.get(f"contacts/{ann}/").json()["custom"]
    assert marks["onboarding_completed"] is True and marks["welcome_campaign_sent"] is True
    assert stage.outcome(run) == ("completed", "end")
    assert stage.story(run) == [("action_001", "next"), ("action_002", "next"), ("action_003", "next")]


def test_the_mark_is_still_counted_from_the_start_when_the_mail_was_late(stage: Stage, smtp: SmtpSink) -> None:
    ready(stage)
    ann = stage.contact(custom={"device_token": "tok", "email_verified": True})
    run = stage.trigger("welcome_campaign_001", ann)
    smtp.behavior = "greylist"
    assert stage.walk(0) == []
    smtp.behavior = "accept"
    arrived = stage.walk(9, 14)
    assert [(channel, title) for _, channel, _, title in arrived] == [
        ("email", "Welcome to Appgain!"), ("push", "Welcome!"),
    ]  # fmt: skip
    assert stage.api.get(f"contacts/{ann}/").json()["custom"]["welcome_campaign_sent"] is True
    assert stage.outcome(run) == ("completed", "end")


def test_only_who_has_confirmed_the_address_enters_and_only_once(stage: Stage) -> None:
    ready(stage)
    ann, bo = (stage.contact(name, custom={"email_verified": name == "Ann"}) for name in ("Ann", "Bo"))
    for contact in (ann, bo, ann):
        stage.event("user_signup", contact, source="app")
        arrived = stage.walk(0)
        assert [to for _, channel, to, _ in arrived if channel == "email"] in (["ann@example.org"], [])
    stage.walk(5, 10)
    assert stage.outcome(stage.run_of(ann, "welcome_campaign_001")) == ("completed", "end")
    assert stage.api.get("pipeline-runs/", contact=bo).json()["results"] == []
