"""What docs/language.md says of the language is so, and nothing that there is goes unsaid."""

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.definition.conditions import compile_condition
from pipelines.definition.delays import parse_delay
from pipelines.definition.expressions import compile_expression
from pipelines.definition.functions import FUNCTIONS
from pipelines.definition.operators import CHANGE_OPERATORS, OPERATORS
from pipelines.definition.rendering import environment
from pipelines.definition.retries import ERROR_CLASSES, parse_retry
from pipelines.definition.templates import compile_template

_BAR = re.compile(r"(?<!\\)\|")
PAGE = (Path(__file__).parents[3] / "docs/language.md").read_text("utf-8")
SAMPLE, CONDITION, DELAY, RETRY = (json.loads(each) for each in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
CONTEXT: dict[str, Any] = {**SAMPLE, "now": dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)}


def rows(head: str) -> list[list[str]]:
    """The cells of the tables under a heading of columns, without their quotes."""
    tables = PAGE.split(f"\n| {head} |")[1:]
    lines = [line for table in tables for line in table.split("\n\n")[0].splitlines()[2:]]
    # The bar of a filter is escaped, so that no cell ends there.
    return [[cell.strip(" ").strip("`").replace("\\|", "|") for cell in _BAR.split(line)[1:-1]] for line in lines]


@pytest.mark.parametrize("row", rows("field | operator | value |"), ids=lambda row: row[1])
def test_each_row_of_a_condition_holds_as_it_is_told(row: list[str]) -> None:
    field, operator, value = row[:3]
    clause: dict[str, Any] = {"field": field, "operator": operator}
    if value:
        clause["value"] = json.loads(value)
    verdict = compile_condition(clause).evaluate(CONTEXT)
    assert (verdict.met, verdict.error) == (operator != "is_false", None)


@pytest.mark.parametrize("row", rows("expression | is |"), ids=lambda row: row[0])
def test_each_expression_is_what_it_is_told_to_be(row: list[str]) -> None:
    assert compile_expression(row[0]).evaluate(CONTEXT) == json.loads(row[1])


@pytest.mark.parametrize("row", rows("template | shows |"), ids=lambda row: row[0])
def test_each_template_shows_what_it_is_told_to(row: list[str]) -> None:
    assert compile_template(row[0]).render(CONTEXT) == row[1]


def test_every_operator_function_filter_and_class_of_error_is_told() -> None:
    assert {row[1] for row in rows("field | operator | value |")} == set(OPERATORS)
    assert all(f"`{name}`" in PAGE for name in CHANGE_OPERATORS | ERROR_CLASSES)
    called = " ".join(row[0] for row in rows("expression | is |"))
    assert {name for name in FUNCTIONS if not re.search(rf"\b{name}\(", called)} == set()
    filtered = " ".join(row[0] for row in rows("template | shows |"))
    assert {name for name in environment(html=False).filters if not re.search(rf"\| {name}\b", filtered)} == set()


def test_the_longer_examples_are_read() -> None:
    assert compile_condition(CONDITION).evaluate(CONTEXT).met
    said = parse_delay(DELAY).describe()
    assert said.startswith("3 days after the previous step, then on weekdays at 09:00")
    assert [rule.max for rule in parse_retry(RETRY)] == [5, 1]
