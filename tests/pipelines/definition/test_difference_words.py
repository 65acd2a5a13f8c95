"""A change is told in words: spans, conditions, what came to lists and went, the spot of a text."""

from typing import Any

import pytest

from tests.pipelines.definition.test_difference import a_document, sentences, step

STAGE = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "lead"}
CITY = {"field": "contact.city", "operator": "equals", "value": "Paris"}


def words(before: dict[str, Any], after: dict[str, Any]) -> str:
    """What is told of one step with these fields before and after."""
    (sentence,) = sentences(a_document(step("a", **before)), a_document(step("a", **after)))
    return sentence.removeprefix("Step “Wait” changed: ").removesuffix(".")


def own(**given: Any) -> dict[str, Any]:
    return {"type": "wait", "with": given}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"timeout": 259_200}, {"timeout": "5d"}, "timeout 3 days → 5 days"),
        ({}, {"timeout": 3_600}, "timeout none → 1 hour"),
        ({"if": STAGE}, {"if": {"any": [STAGE, CITY]}},
         "condition contact.lifecycle_stage is lead → contact.lifecycle_stage is lead or contact.city is Paris"),
        (own(**{"while": "x < 1"}), own(until="x > 2"), "while x < 1 → none; until none → x > 2"),
        (own(tags=["a", "b"]), own(tags=["a", "c"]), "tags a, b → a, c"),
        (own(confirm=True), own(confirm=False), "confirm yes → no"),
        (own(values={"city": "Rome", "phone": "1"}), own(values={"city": "Paris", "email": "x"}),
         "values: city “Rome” → “Paris”, email none → “x”, phone “1” → none"),
        (own(form=[{"name": "why", "type": "text"}]),
         own(form=[{"name": "why", "type": "number"}, {"name": "when", "type": "date"}]),
         "form: “why” changed (type “text” → “number”), “when” added"),
        (own(variants=[{"name": "a"}, {"name": "b"}]), own(variants=[{"name": "b"}, {"name": "a"}]),
         "variants: another order"),
        (own(cases=[{"if": STAGE, "next": "x"}]), own(cases=[{"if": CITY, "next": "x"}]),
         "cases: 1 changed (if contact.lifecycle_stage is lead → contact.city is Paris)"),
    ],
)  # fmt: skip
def test_a_field_is_told_as_people_say_it(before: dict[str, Any], after: dict[str, Any], told: str) -> None:
    assert words(before, after) == told


def test_of_a_long_text_the_spot_that_changed_is_shown() -> None:
    opening = "Dear {{ contact.first_name }}, thank you for the order that you placed with us last week. "
    told = words(own(text=opening + "It is on its way."), own(text=opening + "It has arrived."))
    assert told == "text “…with us last week. It is on its way.” → “…with us last week. It has arrived.”"
    middle = words(own(text=opening + "Yours, Ann. " + opening), own(text=opening + "Yours, Bob. " + opening))
    assert "Yours, Ann. Dear" in middle and "Yours, Bob. Dear" in middle and len(middle) < 240


def test_triggers_settings_and_promises_are_told_without_json() -> None:
    created = {"type": "created", "model": "contacts.contact", "key": "new"}
    old = a_document(step("a"), triggers=[created], meta={"expect": [{"name": "Quick", "then": []}], "icon": "star"})
    story = {"name": "Slow", "then": [{"status": "completed"}]}
    new = a_document(
        step("a"),
        triggers=[{**created, "where": {"all": [STAGE, CITY]}, "reentry": {"after": "30d"}}],
        settings={"send_hours": {"from": "09:00", "to": "17:00"}, "expires_after": "P90D"},
        meta={"expect": [story], "icon": "moon"},
        exit=[{"event": "unsubscribed", "match": {"channel": "email"}}],
    )
    assert sentences(old, new) == [
        "Pipeline changed: meta: icon “star” → “moon”.",
        "Trigger “new contact” changed: where none → contact.lifecycle_stage is lead and contact.city is Paris;"
        " reentry none → after 30 days.",
        "Exit rule “unsubscribed” added.",
        "Promise “Slow” added.",
        "Promise “Quick” removed.",
        "Settings changed: expires after none → 90 days; send hours none → from “09:00”, to “17:00”.",
    ]
