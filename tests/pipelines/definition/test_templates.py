"""What templates show."""

import datetime as dt
from typing import Any

import pytest

from pipelines.definition.templates import TemplateError, compile_template

CONTEXT: dict[str, Any] = {
    "now": dt.datetime(2026, 3, 5, 9, 30, tzinfo=dt.UTC),
    "team": {"timezone": "Asia/Tokyo"},
    "contact": {
        "first_name": "Ann",
        "company": {"name": "A & B"},
        "created": "2026-01-02T00:00:00Z",
        "tags": ["a", "b"],
        "zone": None,
        "vip": True,
    },
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain text", "plain text"),
        ("one } and { two", "one } and { two"),
        ("Hello {{ contact.first_name }}!", "Hello Ann!"),
        ('Hello {{ contact.nick | default: "there" }}!', "Hello there!"),
        ("[{{ contact.nick }}]", "[]"),
        ("[{{ nobody.at.all }}]", "[]"),
        ("{{ contact.company.name }}", "A & B"),
        ("{% if contact.vip %}VIP{% else %}-{% endif %}", "VIP"),
        ("{% unless contact.nick %}no nick{% endunless %}", "no nick"),
        ("{% for tag in contact.tags %}{{ tag }},{% endfor %}", "a,b,"),
        ("{% assign x = contact.first_name | upcase %}{{ x }}", "ANN"),
        ("{{ contact.tags | join: '+' }} {{ contact.tags.size }}", "a+b 2"),
        ("{{ contact.created | date: '%d.%m.%Y' }}", "02.01.2026"),
        ("{{ contact.created | date: '%-d/%-m' }}", "2/1"),
        ("{{ now | date: '%H:%M' }}", "09:30"),
        ("{{ 'now' | date: '%Y' }}", "2026"),
        ("{{ contact.gone | date: '%Y' }}", ""),
        ("{{ now | date: '%H:%M', 'America/New_York' }}", "04:30"),
        ("{{ '2027-01-31' | date: '%d', 'America/New_York' }}", "31"),
        ("{{ now | date: '%H:%M', contact.gone }} {{ now | date: '%H:%M', contact.zone }}", "18:30 18:30"),
        ("{{ now | date: '%H:%M', 'Nowhere' }}", "18:30"),
        ("{{ 3 | times: 4 }}", "12"),
        ("€ {{ 1234.5 | money }}", "€ 1,234.50"),
        ("{{ 1234567 | money: ',' }} €", "1.234.567,00 €"),
        ("{{ '10.5' | money }} {{ 0.005 | money }} {{ 2.675 | money }}", "10.50 0.01 2.68"),
        ("{{ -0.001 | money }} {{ -1234.5 | money }}", "0.00 -1,234.50"),
        ("[{{ contact.gone | money }}]", "[]"),
        ("{{ contact.first_name | money }} {{ '1e99' | money }}", "Ann 1e99"),
        ("{{ '1_000' | money }}", "1_000"),
        ("{% comment %}hidden{% endcomment %}", ""),
        ("{% raw %}{{ as it is }}{% endraw %}", "{{ as it is }}"),
    ],
)
def test_a_template_is_filled_in(source: str, text: str) -> None:
    assert compile_template(source).render(CONTEXT) == text


def test_html_is_escaped_in_html_templates_only() -> None:
    source = "<b>{{ contact.company.name }}</b>"

    assert compile_template(source, html=True).render(CONTEXT) == "<b>A &amp; B</b>"
    assert compile_template(source).render(CONTEXT) == "<b>A & B</b>"


def test_a_script_in_a_name_stays_text() -> None:
    page = compile_template("{{ name }}{{ name | upcase }}{{ name | append: '<i>' }}", html=True)

    assert "<script" not in page.render({"name": "<script>alert(1)</script>"}).lower()


def test_without_a_moment_in_the_context_now_is_nothing() -> None:
    assert compile_template("[{{ now }}{{ today }}{{ 'now' | date }}]").render({}) == "[]"


def test_a_template_tells_which_names_and_paths_it_reads() -> None:
    template = compile_template(
        "{% for x in contact.orders %}{{ x.total }}{% endfor %}"
        "{% if vars.most > 1 %}{{ contact.company.name | upcase }}{% endif %}"
        "{% assign y = 1 %}{{ y }}"
    )

    assert template.names == {"contact", "vars"}
    assert template.paths == {
        ("contact", "orders"),
        ("vars", "most"),
        ("contact", "company", "name"),
    }


def test_an_unknown_name_is_refused_with_its_place() -> None:
    with pytest.raises(TemplateError) as caught:
        compile_template("Dear\n  {{ contcat.name }}", names={"contact"})

    assert caught.value.message == "unknown name 'contcat'; did you mean 'contact'?"
    assert (caught.value.line, caught.value.column) == (2, 6)


def test_names_a_template_sets_itself_are_known() -> None:
    compile_template("{% assign x = 1 %}{{ x }}{% for i in contact.a %}{{ i }}{% endfor %}", names={"contact"})


def test_what_would_stay_empty_is_told() -> None:
    template = compile_template(
        "{{ contact.first_name }}{{ contact.nick }}{{ contact.city | default: 'here' }}"
        "{% for tag in contact.tags %}{{ tag.x }}{% endfor %}{{ order.total | round }}"
    )

    assert template.missing(CONTEXT) == ["contact.nick", "order.total"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{{ contact.name", "not closed"),
        ("{% if x %}", "if"),
        ("{% bogus %}", "unexpected tag 'bogus'"),
        ("{{ x | bogus }}", "unknown filter 'bogus'"),
        ("{{ x | }}", "."),
    ],
)
def test_a_broken_template_is_refused_with_a_sentence(source: str, sentence: str) -> None:
    with pytest.raises(TemplateError, match=sentence):
        compile_template(source)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Hi\n{% for x in %}{{ x }}{% endfor %}", "expected a value before this ends (line 2, column 13)"),
        ("Hi\n {% if contact.vip %}open", "'{% if %}' is never closed: add '{% endif %}' (line 2, column 2)"),
        ("{% if a %}\n{% for x in y %}x{% endif %}", "unexpected tag 'endif' (line 2, column 21)"),
        ("{% raw %}x", "'{% raw %}' is never closed: add '{% endraw %}' (line 1, column 1)"),
        ("{% if a %}x{% endif %}\n{{ }}", "expected a value before this ends (line 2, column 4)"),
        ("{% case a %}{% when 1 %}\n{{ a | }}{% endcase %}", "expected word before this ends (line 2, column 8)"),
        ("a\n{{ contact.x", "'{{' is not closed, or longer than 1000 characters (line 2, column 1)"),
        ("a\n {% nope %}", "unexpected tag 'nope' (line 2, column 5)"),
    ],
)
def test_a_mistake_is_said_with_its_line_and_column(source: str, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_template(source)
    assert str(caught.value) == said


def test_a_long_template_is_searched_for_its_mistake_in_few_steps() -> None:
    good = "{% if contact.vip %}{{ contact.name }}{% endif %}\n" * 300
    with pytest.raises(TemplateError, match=r"before this ends \(line 301, column 4\)"):
        compile_template(f"{good}{{{{ }}}}\n{good}")
