"""Forms of human tasks: what a document may say, and what people may answer."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.definition.answers import Answers, Lookups, clean_answers, prefilled
from pipelines.definition.forms import TYPES, form_faults, parse_form, spoken_name

BERLIN = ZoneInfo("Europe/Berlin")
CHOICES = ["schedule_demo", {"value": "send_proposal", "label": "Send it"}, 3]


def answer(kind: str, value: Any, **more: Any) -> Answers:
    return clean_answers(parse_form([{"name": "it", "type": kind, **more}]), {"it": value})


def refusal(kind: str, value: Any, **more: Any) -> str:
    return answer(kind, value, **more).errors["it"]


@pytest.mark.parametrize(
    ("kind", "value", "more", "kept"),
    [
        ("text", "  hello ", {}, "hello"),
        ("textarea", "two\nlines", {}, "two\nlines"),
        ("number", "12,5", {}, 12.5),
        ("number", "7", {}, 7),
        ("number", 2.5, {"min": 2, "max": 3}, 2.5),
        ("boolean", "yes", {}, True),
        ("boolean", False, {"required": True}, False),
        ("boolean", None, {}, False),
        ("date", "2030-01-31", {}, "2030-01-31"),
        ("datetime", "2030-01-31T09:00:00+02:00", {}, "2030-01-31T07:00:00+00:00"),
        ("select", "3", {"options": CHOICES}, 3),
        ("select", "send_proposal", {"options": CHOICES}, "send_proposal"),
        ("multiselect", ["3", "schedule_demo", "3"], {"options": CHOICES}, [3, "schedule_demo"]),
        ("multiselect", None, {"options": CHOICES}, []),
        ("email", "ann@example.com", {}, "ann@example.com"),
        ("url", "https://example.com/a?b=c", {}, "https://example.com/a?b=c"),
        ("text", "", {}, None),
    ],
)
def test_an_answer_is_kept_as_later_steps_read_it(kind: str, value: Any, more: Any, kept: Any) -> None:
    found = answer(kind, value, **more)
    assert found.errors == {}
    assert found.values["it"] == kept and type(found.values["it"]) is type(kept)


@pytest.mark.parametrize(
    ("kind", "value", "more", "words"),
    [
        ("text", "", {"required": True}, "needed"),
        ("text", "   ", {"required": True}, "needed"),
        ("text", 5, {}, "a text"),
        ("text", "a\nb", {}, "one line"),
        ("text", "abcdef", {"max": 3}, "at most 3"),
        ("text", "a", {"min": 3}, "at least 3"),
        ("text", "a\x00b", {}, "cannot be stored"),
        ("number", "many", {}, "a number"),
        ("number", True, {}, "a number"),
        ("number", "1_0", {}, "a number"),
        ("number", "nan", {}, "too large"),
        ("number", 1, {"min": 2}, "2 or more"),
        ("number", 4, {"max": 3}, "3 or less"),
        ("boolean", "perhaps", {}, "yes or no"),
        ("boolean", None, {"required": True}, "yes or no"),
        ("date", "31.1.2030", {}, "2030-01-31"),
        ("date", "2030-01-31", {"max": "2030-01-01"}, "2030-01-01 or earlier"),
        ("datetime", "tomorrow", {}, "date and a time"),
        ("datetime", "2030-01-31T09:00", {"min": "2031-01-01T00:00"}, "not before"),
        ("select", "other", {"options": CHOICES}, "one of the options"),
        ("select", True, {"options": [1, 0]}, "one of the options"),
        ("multiselect", ["schedule_demo", "other"], {"options": CHOICES}, "one of the options"),
        ("multiselect", ["schedule_demo"], {"options": CHOICES, "min": 2}, "at least 2"),
        ("email", "ann at example", {}, "email address"),
        ("url", "javascript:alert(1)", {}, "https://"),
        ("user", "nobody@example.com", {}, "member of the team"),
        ("record", "contacts.contact:5", {}, "record of the team"),
        ("record", 5, {}, "record of the team"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_with_a_sentence(kind: str, value: Any, more: Any, words: str) -> None:
    assert words in refusal(kind, value, **more)


def test_a_time_without_a_zone_is_read_as_the_team_lives_it() -> None:
    fields = parse_form([{"name": "at", "type": "datetime"}])
    found = clean_answers(fields, {"at": "2030-07-01T09:00"}, zone=BERLIN)
    assert found.values["at"] == "2030-07-01T07:00:00+00:00"


def test_people_and_records_are_looked_up_and_kept_with_their_names() -> None:
    ann = {"id": 7, "email": "ann@example.com", "name": "Ann"}
    fields = parse_form(
        [{"name": "who", "type": "user"}, {"name": "what", "type": "record", "options": ["contacts.deal"]}]
    )
    lookups = Lookups(user=lambda wanted: ann, record=lambda wanted: {**wanted, "name": "Big deal"})
    found = clean_answers(fields, {"who": 7, "what": "contacts.deal:3"}, lookups=lookups)
    assert found.values == {"who": ann, "what": {"type": "contacts.deal", "id": 3, "name": "Big deal"}}
    refused = clean_answers(fields, {"what": {"type": "contacts.contact", "id": 3}}, lookups=lookups)
    assert "contacts.deal" in refused.errors["what"]


def test_every_problem_of_a_form_is_told_with_its_path_and_no_answer_hides_another() -> None:
    fields = parse_form([{"name": "a", "type": "number"}, {"name": "b", "type": "text", "required": True}])
    found = clean_answers(fields, {"a": "x", "c": 1})
    assert set(found.errors) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("form", "at", "words"),
    [
        ({}, (), "list of fields"),
        (["name"], (0,), "an object"),
        ([{"name": "1st", "type": "text"}], (0, "name"), "beginning with a letter"),
        ([{"name": "outcome", "type": "text"}], (0, "name"), "already has a meaning"),
        ([{"name": "a", "type": "color"}], (0, "type"), "must be one of"),
        ([{"name": "a", "type": "text"}, {"name": "a", "type": "text"}], (1, "name"), "used twice"),
        ([{"name": "a", "type": "select"}], (0, "options"), "what can be chosen"),
        ([{"name": "a", "type": "select", "options": ["x", "x"]}], (0, "options", 1), "there twice"),
        ([{"name": "a", "type": "select", "options": [{"label": "x"}]}], (0, "options", 0), "'value'"),
        ([{"name": "a", "type": "text", "options": ["x"]}], (0, "options"), "no options"),
        ([{"name": "a", "type": "number", "min": "x"}], (0, "min"), "a number"),
        ([{"name": "a", "type": "number", "min": 3, "max": 2}], (0, "max"), "less than"),
        ([{"name": "a", "type": "date", "max": "soon"}], (0, "max"), "2030-01-31"),
        ([{"name": "a", "type": "text", "max": 1.5}], (0, "max"), "whole number"),
        ([{"name": "a", "type": "boolean", "min": 1}], (0, "min"), "has no min"),
    ],
)
def test_a_form_that_cannot_be_used_says_where_and_why(form: Any, at: Any, words: str) -> None:
    assert [message for where, message in form_faults(form) if where == at and words in message]


def test_what_is_filled_in_when_the_task_is_given_is_judged_then() -> None:
    form = [
        {"name": "a", "type": "number", "min": "{{ vars.low }}"},
        {"name": "b", "type": "date", "default": "{{ x }}"},
    ]
    assert list(form_faults(form)) == []


def test_defaults_are_offered_when_they_fit() -> None:
    fields = parse_form(
        [
            {"name": "a", "type": "number", "default": "5"},
            {"name": "b", "type": "date", "default": "not a date"},
            {"name": "c", "type": "text"},
        ]
    )
    assert prefilled(fields) == {"a": 5}


@pytest.mark.parametrize(
    ("name", "label"),
    [("callDate", "Call date"), ("next_action", "Next action"), ("ROI", "ROI"), ("Two words", "Two words")],
)
def test_a_field_without_a_label_is_called_by_its_name(name: str, label: str) -> None:
    assert spoken_name(name) == label


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(TYPES), st.booleans(), ANYTHING)
def test_whatever_is_answered_is_kept_or_refused_and_nothing_else(kind: str, required: bool, value: Any) -> None:
    more = {"options": ["a", "b", 1]} if kind in ("select", "multiselect") else {}
    found = answer(kind, value, required=required, **more)
    assert set(found.values) ^ set(found.errors) == {"it"}
    again = answer(kind, found.values.get("it"), **more)
    assert "it" in found.errors or again.values["it"] == found.values["it"]


@given(ANYTHING)
def test_whatever_is_written_as_a_form_is_judged_and_read_without_a_crash(form: Any) -> None:
    faults = list(form_faults(form))
    fields = parse_form(form)
    assert faults or len(fields) == len(form)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"name": ANYTHING, "type": ANYTHING | st.sampled_from(TYPES)},
            optional={
                "options": ANYTHING,
                "min": ANYTHING,
                "max": ANYTHING,
                "label": ANYTHING,
                "default": ANYTHING,
            },
        ),
        max_size=3,
    )
)
def test_a_form_of_nearly_right_fields_is_read_as_far_as_it_is_right(form: Any) -> None:
    list(form_faults(form))
    fields = parse_form(form)
    clean_answers(fields, {each.name: "1" for each in fields}, zone=dt.UTC)
    prefilled(fields)
