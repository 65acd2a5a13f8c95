"""User onboarding: mail at once, push after five minutes, mail an hour later and a day after that."""

from tests.journeys.examples.stage import DAY, HOUR, Stage

TEMPLATES = ("welcome_email", "welcome_push", "getting_started", "feature_showcase")


def ready(stage: Stage) -> None:
    for key in TEMPLATES:
        stage.template(key)
    stage.loaded("user_onboarding")


def test_a_new_team_is_told_which_templates_it_lacks(stage: Stage) -> None:
    sentence = "there is no message template '{}' in Acme: create it first"
    assert stage.missing("user_onboarding") == {
        f"steps[{number}].with.template": sentence.format(key) for number, key in enumerate(TEMPLATES)
    }


def test_a_new_contact_gets_four_messages_each_counted_from_the_one_before(stage: Stage) -> None:
    ready(stage)
    ann = stage.contact(custom={"device_token": "tok-ann"})
    run = stage.run_of(ann, "user_onboarding")
    assert stage.run(run)["status"] == "pending"
    assert stage.walk(0, 5, 5 + HOUR, 5 + HOUR + DAY) == [
        (0, "email", "ann@example.org", "welcome_email"),
        (5, "push", "tok-ann", "welcome_push"),
        (5 + HOUR, "email", "ann@example.org", "getting_started"),
        (5 + HOUR + DAY, "email", "ann@example.org", "feature_showcase"),
    ]
    assert stage.outcome(run) == ("completed", "end")


def test_who_has_no_device_gets_the_mail_all_the_same(stage: Stage) -> None:
    ready(stage)
    run = stage.run_of(stage.contact(), "user_onboarding")
    arrived = stage.walk(0, 5, 5 + HOUR, 5 + HOUR + DAY)
    assert [(channel, title) for _, channel, _, title in arrived] == [
        ("email", "welcome_email"), ("email", "getting_started"), ("email", "feature_showcase"),
    ]  # fmt: skip
    assert stage.outcome(run) == ("completed", "end")
    assert [outcome for _, outcome in stage.story(run)] == ["next", "skipped", "next", "next"]


def test_everybody_has_a_clock_of_their_own(stage: Stage) -> None:
    ready(stage)
    stage.contact("Ann", custom={"device_token": "tok-ann"})
    stage.walk(0)
    stage.walk(3)
    stage.contact("Bo", custom={"device_token": "tok-bo"})
    assert stage.walk(3, 5, 8) == [
        (3, "email", "bo@example.org", "welcome_email"),
        (5, "push", "tok-ann", "welcome_push"),
        (8, "push", "tok-bo", "welcome_push"),
    ]
