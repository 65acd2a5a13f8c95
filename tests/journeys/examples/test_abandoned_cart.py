"""Abandoned cart: a reminder after a day, a push four hours later, and nothing more once the cart is bought.

The abandoned cart and the purchase are events; the first lets its contact in, once for each cart of enough value.
"""

from typing import Any

from tests.journeys.examples.stage import DAY, HOUR, Stage

CART = {"id": "c-7", "value": 80, "total": 80, "items": ["Tea", "Cup"]}
REMINDED = (DAY, "email", "ann@example.org", "Your cart is waiting!")


def abandoned(stage: Stage, cart: dict[str, Any] = CART, **custom: Any) -> tuple[int, int]:
    """A contact who left a cart, and the run about it."""
    stage.template("cart_reminder", text="{{ user_name }}: {{ cart_items | join: ', ' }} for {{ cart_total }}")
    stage.loaded("abandoned_cart_recovery")
    ann = stage.contact(custom=custom)
    stage.event("abandoned_cart", ann, cart=cart)
    assert stage.walk(0) == []
    return ann, stage.run_of(ann, "abandoned_cart_recovery")


def test_the_reminder_tells_the_cart_and_the_push_follows(stage: Stage) -> None:
    _, run = abandoned(stage, device_token="tok")
    assert stage.walk(0, DAY, DAY + 4 * HOUR) == [REMINDED, (DAY + 4 * HOUR, "push", "tok", "Don't forget your cart!")]
    assert stage.texts()[0].startswith("Ann: Tea, Cup for 80")
    assert stage.letters() == ["Complete your purchase and get 10% off"]
    assert stage.outcome(run) == ("completed", "end")


def test_who_has_no_device_gets_the_reminder_alone(stage: Stage) -> None:
    _, run = abandoned(stage)
    assert stage.walk(0, DAY, DAY + 4 * HOUR) == [REMINDED]
    assert stage.story(run) == [("reminder", "next"), ("nudge", "skipped")]


def test_a_cart_bought_before_the_second_message_ends_the_run(stage: Stage) -> None:
    ann, run = abandoned(stage, device_token="tok")
    assert stage.walk(0, DAY) == [REMINDED]
    stage.event("purchase_completed", ann, cart_id="c-7", total=80)
    assert stage.walk(DAY + 1, DAY + 4 * HOUR, 3 * DAY) == []
    assert stage.outcome(run) == ("completed", "purchased")


def test_a_purchase_within_a_week_of_the_cart_counts_as_recovered_with_its_worth(stage: Stage) -> None:
    ann, run = abandoned(stage)
    stage.walk(0, DAY)
    stage.event("purchase_completed", ann, cart_id="c-7", total=80)
    stage.walk(DAY + 1)
    assert stage.outcome(run) == ("completed", "purchased")
    (recovered,) = stage.api.get("pipelines/abandoned_cart_recovery/conversion/").json()["goals"]
    assert (recovered["goal"], recovered["reached"], float(recovered["value"])) == ("recovered", 1, 80)


def test_a_cart_bought_before_the_first_message_sends_none(stage: Stage) -> None:
    ann, run = abandoned(stage, device_token="tok")
    stage.walk(0)
    stage.event("purchase_completed", ann, cart_id="c-7", total=80)
    assert stage.walk(HOUR, DAY, 2 * DAY) == []
    assert stage.outcome(run) == ("completed", "purchased")


def test_buying_another_cart_changes_nothing(stage: Stage) -> None:
    ann, run = abandoned(stage, device_token="tok")
    stage.walk(0)
    stage.event("purchase_completed", ann, cart_id="c-8", total=10)
    assert len(stage.walk(DAY, DAY + 4 * HOUR)) == 2
    assert stage.outcome(run) == ("completed", "end")


def test_without_a_cart_nobody_enters_and_the_answer_says_why(stage: Stage) -> None:
    abandoned(stage)
    bo = stage.contact("Bo")
    told = stage.api.post("pipelines/abandoned_cart_recovery/trigger/", {"subject": bo}).json()
    assert told == {
        "runs": [], "refused": [{"subject": bo, "reason": "error", "detail": "The variable 'cart' needs a value."}],
    }  # fmt: skip


def test_a_small_cart_and_the_same_cart_again_let_nobody_in(stage: Stage) -> None:
    ann, _ = abandoned(stage)
    for cart in ({**CART, "id": "c-8", "value": 50}, CART):
        stage.event("abandoned_cart", ann, cart=cart)
        stage.walk(1)
    assert len(stage.api.get("pipeline-runs/", contact=ann).json()["results"]) == 1
    stage.event("abandoned_cart", ann, cart={**CART, "id": "c-9", "value": 51})
    stage.walk(2)
    assert len(stage.api.get("pipeline-runs/", contact=ann).json()["results"]) == 2
