"""The short way through simple templates says exactly what the long way says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from liquid.exceptions import LiquidError

from pipelines.definition.plain_templates import plain_template
from pipelines.definition.rendering import environment, render
from pipelines.definition.templates import compile_template

# Few letters: markup, quotes and something beyond ASCII.
TEXTS = st.text("aé<&\"'{}% ", max_size=12)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), TEXTS, st.lists(TEXTS, max_size=2))
CONTEXTS = st.fixed_dictionaries(
    {}, optional={"name": VALUES, "contact": st.dictionaries(st.sampled_from(["name", "email"]), VALUES)}
)
PIECES = st.sampled_from(
    ["Hello ", "{{ name }}", "{{contact.name}}", "{{  contact.email  }}", "{{ contact }}", "<b>", "\n", "{ {", "}"]
)


@given(st.lists(PIECES, max_size=8).map("".join), CONTEXTS, st.booleans())
def test_it_says_what_the_engine_says_or_nothing(source: str, context: dict[str, Any], html: bool) -> None:
    plain = plain_template(source, html=html)
    said = plain.render(context) if plain is not None else None
    try:
        engine = environment(html=html).from_string(source)
    except LiquidError:
        # Refused when it is compiled, so nothing is ever rendered.
        return
    assert said is None or said == render(engine, context)


@pytest.mark.parametrize(
    "source",
    [
        "{{ now }}",
        "{{ name | upcase }}",
        "{{- name }}",
        "{% if name %}x{% endif %}",
        "{{ name[0] }}",
        "{{ name.size }}",
    ],
)
def test_what_needs_the_language_takes_the_long_way(source: str) -> None:
    assert plain_template(source, html=False) is None


def test_markup_in_a_value_is_escaped_in_html() -> None:
    template = compile_template("<p>{{ contact.name }}</p>", html=True)
    assert template.render({"contact": {"name": "<script>"}}) == "<p>&lt;script&gt;</p>"
