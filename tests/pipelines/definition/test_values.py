"""Parameters that are literals, expressions or templates."""

import datetime as dt
from typing import Any

import pytest

from pipelines.definition.values import ParameterError, compile_value

CONTEXT: dict[str, Any] = {
    "attempts": 2,
    "contact": {"tags": ["a", "b"], "born": dt.date(2000, 1, 2), "name": "<Ann>", "size": 4},
}


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (5, 5),
        (None, None),
        ("plain", "plain"),
        ("= attempts + 1", 3),
        ("=attempts == 2", True),
        ("{{ contact.tags }}", ["a", "b"]),
        ("{{contact.tags[1]}}", "b"),
        ("{{ contact.tags.size }}", 2),
        ("{{ contact.tags.first }}", "a"),
        ("{{ contact.size }}", 4),
        ("{{ contact.born }}", dt.date(2000, 1, 2)),
        ("{{ contact.gone.away }}", None),
        ("{{ contact.name | upcase }}", "<ANN>"),
        ("Hi {{ contact.name }}", "Hi <Ann>"),
        ("{{ true }}", "true"),
        (["{{ attempts }}", {"x": "= 1 + 1"}], [2, {"x": 2}]),
        ({"html": "{{ contact.name }}"}, {"html": "&lt;Ann&gt;"}),
        ({"body_html": "<p>{{ contact.name }}"}, {"body_html": "<p>&lt;Ann&gt;"}),
    ],
    ids=repr,
)
def test_a_parameter_keeps_its_type(value: object, result: object) -> None:
    assert compile_value(value).evaluate(CONTEXT) == result


def test_a_parameter_tells_what_it_reads() -> None:
    value = compile_value({"a": "{{ contact.name }}", "b": ["= attempts", "{{ x.y }}!"], "c": 1})

    assert value.paths == {("contact", "name"), ("attempts",), ("x", "y")}
    assert value.names == {"contact", "attempts", "x"}
    assert not value.is_constant
    assert compile_value({"a": [1, "b"]}).is_constant


@pytest.mark.parametrize(
    ("value", "path", "sentence"),
    [
        ({"to": "{{ contcat.email }}"}, "to", "unknown name 'contcat'"),
        ({"a": [1, "= attemps"]}, "a[1]", "did you mean 'attempts'"),
        ({"a": {"b": "{{ contact | bogus }}"}}, "a.b", "unknown filter"),
        ({"a": "="}, "a", "empty"),
    ],
)
def test_a_wrong_parameter_is_named(value: object, path: str, sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence) as caught:
        compile_value(value, names={"contact", "attempts"})

    assert caught.value.path == path


def test_a_parameter_that_fails_at_work_is_named() -> None:
    value = compile_value({"list": [{"n": "= 1 / zero"}]})

    with pytest.raises(ParameterError, match="cannot divide by zero") as caught:
        value.evaluate({"zero": 0})
    assert caught.value.path == "list[0].n"


def test_a_very_deep_parameter_is_refused() -> None:
    value: object = 1
    for _ in range(100):
        value = [value]

    with pytest.raises(ParameterError, match="too deeply"):
        compile_value(value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("= a +", "with.text[0]: cannot read the expression: invalid syntax (line 1, column 6)"),
        ("=  a b", "with.text[0]: cannot read the expression: invalid syntax (line 1, column 6)"),
        ("=\n foo(1)", "with.text[0]: unknown function 'foo' (line 2, column 2)"),
        ("{% for x in %}{% endfor %}", "with.text[0]: expected a value before this ends (line 1, column 13)"),
    ],
)
def test_a_mistake_is_said_with_path_line_and_column(source: str, said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        compile_value({"with": {"text": [source]}})
    assert str(caught.value) == said
