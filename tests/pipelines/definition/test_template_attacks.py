"""Hostile templates are refused or harmless, and never slow."""

import copy
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.definition.templates import TemplateError, compile_template
from tests.pipelines.published_escapes import PUBLISHED


class Trap:
    """A host object that tells when it is touched."""

    secret = "leaked"

    def delete(self) -> str:
        raise AssertionError("a method of a host object was called")

    def __getitem__(self, key: object) -> str:
        return "leaked"

    def __str__(self) -> str:
        return "object"


CONTEXT: dict[str, Any] = {
    "contact": {"name": "Ann", "list": list(range(500)), "text": "x" * 10_000},
    "trap": Trap(),
}

ATTACKS = [
    "{{ contact.__class__ }}",
    "{{ contact.__class__.__mro__ }}",
    "{{ contact['__class__'] }}",
    "{{ contact.clear }}{{ contact.clear() }}",
    "{{ contact.items }}",
    "{{ trap.secret }}{{ trap['secret'] }}{{ trap.delete }}",
    "{{" * 8_000,
    "{{{{" * 16_000,
    "{%" * 20_000,
    "{{-" + " " * 60_000,
    "{% raw %}" * 2_000,
    "{% comment %}" * 2_000,
    "{% if x %}" * 500 + "{% endif %}" * 500,
    "{% for a in (1..1000) %}" * 20 + "x" + "{% endfor %}" * 20,
    "{% for a in (1..99999999) %}{% endfor %}",
    "{% for a in (1..99999999) reversed %}{% endfor %}",
    "{% for a in (1..contact.name) %}{% endfor %}",
    "{% if (1..10000000000) contains 'x' %}{% endif %}",
    "{{ (1..99999999) | size }}",
    "{% assign r = (1..99999999) %}{{ r | join: ',' }}",
    "{% for a in (1..900) %}{% endfor %}" * 100,
    "{% for a in contact.list %}{% for b in contact.list %}{{ b }}{% endfor %}{% endfor %}",
    "{% assign x = 'aaaaaaaaaa' %}" + "{% assign x = x | append: x %}" * 60 + "{{ x }}",
    "{% assign x = contact.text | replace: 'x', contact.text %}{{ x }}",
    "{{ contact.list | join: contact.text }}",
    "{{ 'a,b' | split: ',' | join: contact.text }}",
    "{% capture x %}" + "{{ contact.text }}" * 50 + "{% endcapture %}{{ x }}",
    "{{ contact.text }}" * 100,
    "{{ 9 " + "| times: 999999999 " * 40 + "}}",
    "{{ 1 | divided_by: 0 }}",
    "{{ 1 | modulo: 0 }}",
    "{{ 1.5 | round: 99999999 }}",
    "{{ '1e999999' | plus: 1 }}",
    "{{ 'x' | truncate: 99999999, contact.text }}",
    "{% include 'secrets' %}",
    "{% render 'secrets' %}",
    "{% tablerow i in (1..10) %}{% endtablerow %}",
    "{% cycle 'a', 'b' %}",
    "{% increment x %}",
    "{% layout 'x' %}",
    "{{ '<b>' | safe }}",
    "{{ 'aGk=' | base64_decode }}",
    "{{ 'now' | date: '%9999999d' }}",
    "{{ 'now' | date: contact.text }}",
    "{{ '9e999999' | money }}{{ 1 | money: contact.text }}{{ contact.text | money }}",
    "{{ contact | json }}",
    "{{ self }}{{ _context }}{{ globals }}",
    "{{ x" + ".y" * 400 + " }}",
    "{{ x" + "[0]" * 300 + " }}",
    "{{ x" + "[y" * 200 + "]" * 200 + " }}",
    "{% if " + "(" * 400 + "x" + ")" * 400 + " %}{% endif %}",
    "{% if " + "not " * 240 + "x %}{% endif %}",
    "{% liquid\nassign x = 1\n%}",
    "x" * 70_000 + "{{ y }}",
    "{{ y }}" * 9_000,
    "{% assign contact = 1 %}",
    "{{ trap | where: 'secret' }}{{ trap | sort: 'secret' }}",
    "{% for each in trap %}{{ each.secret }}{% endfor %}",
    "{{ forloop.parentloop.__class__ }}{{ block.super }}",
    *(source for escape in PUBLISHED.values() for source in escape.templates),
]


@pytest.mark.parametrize("source", ATTACKS, ids=lambda source: ascii(source)[:40])
@pytest.mark.parametrize("html", [False, True], ids=["text", "html"])
def test_an_attack_is_refused_or_harmless_and_quick(source: str, html: bool) -> None:
    before = copy.deepcopy(CONTEXT["contact"])
    begin = time.perf_counter()

    try:
        text = compile_template(source, html=html).render(CONTEXT)
    except TemplateError:
        text = ""

    assert time.perf_counter() - begin < 2
    assert CONTEXT["contact"] == before
    assert len(text) <= 256_000
    assert "leaked" not in text
    assert "built-in method" not in text
    assert "class '" not in text


@pytest.mark.parametrize(
    "change",
    [
        "upcase",
        "capitalize",
        "escape",
        "escape_once",
        "newline_to_br",
        "strip_newlines",
        "truncate: 90",
        "truncatewords: 9",
        "append: name",
        "prepend: name",
        "replace: 'x', name",
        "replace: '&lt;', '<'",
        "split: 'l' | join: 'l'",
        "split: '' | reverse | join: ''",
        "default: 'x'",
        "first",
        "last",
        "date: '%Y'",
        "money",
        "url_encode",
        "strip | lstrip | rstrip",
    ],
)
def test_no_filter_lets_a_value_become_markup(change: str) -> None:
    page = compile_template(f"{{{{ name | {change} }}}}", html=True)

    assert "<script" not in page.render({"name": "x<script>alert(1)</script>"}).lower()


@given(
    st.lists(
        st.sampled_from(
            [
                "{{",
                "}}",
                "{%",
                "%}",
                " if ",
                " for i in x ",
                "endif",
                "endfor",
                "x",
                ".y",
                "|",
                "upcase",
                "join: ','",
                "'",
                '"',
                "(1..9)",
                "[0]",
                "raw",
                "endraw",
                "-",
                "\n",
                "assign z = x",
            ]
        ),
        max_size=25,
    ).map("".join)
)
def test_any_text_either_works_or_says_what_is_wrong(source: str) -> None:
    try:
        compile_template(source).render({"x": [{"y": 1}]})
    except TemplateError as error:
        assert error.message
