"""What is said to be never true, always true or failing is so for every value of the types."""

import datetime as dt
from decimal import Decimal
from typing import Any, get_args

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.definition.conditions import ConditionError, compile_condition
from pipelines.definition.expressions import ExpressionError, compile_expression
from pipelines.definition.templates import TemplateError, compile_template
from pipelines.definition.typed import Known, Type, Typed
from pipelines.definition.typed_conditions import condition_findings
from pipelines.definition.typed_expressions import LETTERS, typed_expression
from pipelines.definition.typed_templates import typed_template
from tests.examples import examples

NOW = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)
DATES = ["2027-03-01", "2027-03-01T12:00:00+00:00", "2026-01-31T08:00:00Z"]
VALUES: dict[str, list[Any]] = {
    "text": ["", "a", "pro", "Pro", "3", "true", *DATES],
    "number": [0, 1, 3, -2.5, Decimal("3.00"), 0.1],
    "boolean": [True, False],
    "moment": [NOW, NOW.date(), dt.date(2026, 1, 31), NOW - dt.timedelta(days=3)],
    "date": [*DATES, NOW, NOW.date()],
    "duration": [dt.timedelta(days=3), dt.timedelta(0)],
    "list": [[], ["a"], [3, "pro", True]],
    "object": [{}, {"a": 1}, {"id": 3}],
}
# Texts of which only some are possible, and some of those are dates.
CHOICES = {"choice": ("basic", "pro"), "day": ("2026-01-31", "2027-03-01", "later")}
FIELDS = [*get_args(Type), *CHOICES]
fields = st.sampled_from([f"f.{name}" for name in FIELDS])
literals = st.sampled_from(["'a'", "'pro'", "'2027-03-01'", "3", "0.5", "true", "now", "days(3)", "['pro', 3]", "''"])
atoms = fields | literals
sums = st.builds("({} {} {})".format, atoms, st.sampled_from(["+", "-", "*", "/", "//", "%"]), atoms)
calls = st.builds(
    "{}({})".format,
    st.sampled_from(
        ["lower", "len", "abs", "round", "number", "days", "date", "duration", "max", "sum", "any", "is_empty"]
    ),
    atoms,
)
terms = st.one_of(
    atoms, sums, calls, st.builds("default({}, {})".format, atoms, atoms), st.builds("-{}".format, fields)
)
COMPARISONS = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"])
compared = st.builds("{} {} {}".format, atoms, COMPARISONS, atoms) | st.builds(
    "{} {} {}".format, terms, COMPARISONS, terms
)
# What is equal, or in order, though its types differ.
ALIKE: dict[str, Any] = {
    "text": "2027-03-01", "number": Decimal("3.00"), "boolean": True, "moment": dt.date(2027, 3, 1),
    "date": "2027-03-01", "duration": dt.timedelta(days=3), "list": ["pro"], "object": {"pro": 1}, "choice": "pro",
    "day": "2027-03-01",
}  # fmt: skip
OPERATORS = ["equals", "not_equals", "contains", "not_contains", "greater_than", "less_or_equal", "starts_with",
             "ends_with", "before", "after", "recurs_on"]  # fmt: skip
plain = st.sampled_from(["a", "pro", "2027-03-01", "soon", 3, 0.5, True, "= f.number", "= f.text", "{{ f.moment }}"])
clauses = st.one_of(
    st.fixed_dictionaries({"field": fields, "operator": st.sampled_from(OPERATORS), "value": plain}),
    st.fixed_dictionaries({"field": fields, "operator": st.sampled_from(["is_true", "is_false"])}),
    st.fixed_dictionaries(
        {"field": fields, "operator": st.sampled_from(["in_list", "not_in_list"]), "value": st.lists(plain, max_size=2)}
    ),
    st.fixed_dictionaries(
        {"field": fields, "operator": st.just("between"), "value": st.lists(plain, min_size=2, max_size=2)}
    ),
    st.fixed_dictionaries(
        {"field": fields, "operator": st.sampled_from(["within_last", "not_within_last"]), "value": st.just("5d")}
    ),
)
shown = st.builds(
    "{} {} {}".format,
    fields,
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    fields | st.sampled_from(["'a'", "'2027-03-01'", "3", "0.5", "true", "now", "nil", "empty", "blank"]),
)
STORED: dict[str, Any] = {**VALUES, **CHOICES}
there = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in STORED.items()})


def types(path: tuple[str, ...]) -> Known:
    if path[0] != "f" or len(path) != 2:
        return None
    if path[1] in CHOICES:
        return Typed("text", options=CHOICES[path[1]])
    return next((Typed(name) for name in get_args(Type) if name == path[1]), None)


@settings(max_examples=examples(400), deadline=None)
@given(compared, there)
@example("f.moment == '2027-03-01'", ALIKE)
@example("f.date == f.moment", ALIKE)
@example("f.moment <= f.text", ALIKE)
@example("f.moment < now", ALIKE)
@example("f.moment == f.day", ALIKE)
@example("f.number == 3.0", ALIKE)
@example("f.choice in f.list", ALIKE)
@example("'pro' in f.object", ALIKE)
@example("f.moment - f.date == f.text - f.date", ALIKE)
def test_what_is_said_of_an_expression_is_so(source: str, record: dict[str, Any]) -> None:
    _, found = typed_expression(source, types)
    try:
        result: Any = compile_expression(source).evaluate({"f": record, "now": NOW})
    except ExpressionError:
        result = "failed"
    for each in found:
        if each.fails:
            assert result == "failed", each
        elif result != "failed" and LETTERS not in each.message:
            assert result is ("always" in each.message), each


def test_each_part_is_looked_at_once() -> None:
    assert len(typed_expression(f"{'-' * 12}(f.number + f.boolean)", types)[1]) == 1


@settings(max_examples=examples(400), deadline=None)
@given(clauses, there)
def test_what_is_said_of_a_clause_is_so(clause: dict[str, Any], record: dict[str, Any]) -> None:
    found = [each for at, each in condition_findings(clause, types) if at[-1:] != ("field",)]
    try:
        verdict = compile_condition(clause).evaluate({"f": record, "now": NOW})
    except ConditionError:
        return
    for each in found:
        if not verdict.error and ("never true" in each.message or "always true" in each.message):
            assert verdict.met is ("always true" in each.message), each


@settings(max_examples=examples(400), deadline=None)
@given(shown, there)
@example("f.moment <= f.moment", ALIKE)
@example("f.boolean > f.number", ALIKE)
@example("f.date == f.day", ALIKE)
def test_what_is_said_of_a_template_is_so(comparison: str, record: dict[str, Any]) -> None:
    found = [*typed_template(f"{{% if {comparison} %}}yes{{% endif %}}", types)]
    try:
        result = compile_template(f"{{% if {comparison} %}}yes{{% endif %}}").render({"f": record, "now": NOW})
    except TemplateError:
        result = "failed"
    for each in found:
        if each.fails:
            assert result == "failed", each
        elif result != "failed" and "only" not in each.message:
            assert result == ("yes" if "always" in each.message else ""), each


@settings(max_examples=examples(400), deadline=None)
@given(terms, there)
def test_a_result_has_the_type_that_is_said(source: str, record: dict[str, Any]) -> None:
    known, _ = typed_expression(source, types)
    try:
        result = compile_expression(source).evaluate({"f": record, "now": NOW})
    except ExpressionError:
        return
    kinds: dict[str, Any] = {
        "text": str, "number": int | float | Decimal, "boolean": bool, "moment": dt.date, "duration": dt.timedelta,
        "list": list, "object": dict, "date": str | dt.date,
    }  # fmt: skip
    if known is not None and result is not None:
        assert isinstance(result, kinds[known.type]), (source, known, result)
