"""Links of mail: what is wrong with an address is told by reading it, and by asking it where a person wants that."""

from pathlib import Path

import pytest
from pytest_django import Settings

from crm.address_checks import address_problem
from crm.asking_links import ask_links
from crm.letter_checks import letter_warnings
from tests.sinks.http import Answer, HttpSink


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", "leads nowhere"),
        ("#", "leads nowhere"),
        ("/prices", "write the whole address"),
        ("www.example.org/prices", "write the whole address"),
        ("//example.org/x", "write the whole address"),
        ("javascript:alert(1)", "do not follow javascript:"),
        ("https://example.org/a b", "has a space in it"),
        ("https://exampleorg/", "no host that others can reach: “exampleorg”"),
        ("https:///path", "has no host"),
        ("https://https://example.org", "no host that others can reach: “https”"),
        ("https://example.org:port/", "cannot be read"),
        ("https://example.org/{contact.id}", "nobody fills in: {contact.id}"),
        ("https://example.org/?u={{ contact.id }", "nobody fills in: {{ contact.id }"),
        ("https://example.org/?u=*|FNAME|*", "nobody fills in: *|FNAME|*"),
        ("mailto:", "names no address"),
        ("mailto:desk.example.org", "names no address"),
        ("tel:", "has no number"),
        ("http://testserver/nowhere/", "a page that this installation does not have"),
    ],
)
def test_an_address_that_leads_nowhere_is_told(address: str, told: str) -> None:
    assert told in address_problem(address)


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org",
        "https://example.org/{{ contact.id }}?x={% if a %}1{% endif %}",
        "{{ unsubscribe_url }}",
        "⟦unsubscribe⟧",
        "https://{{ team.host }}/x",
        "mailto:desk@example.org,b@example.org?subject=Hi%20there",
        "mailto:{{ contact.owner.email }}",
        "tel:+4930123456",
        "#top",
        "cid:logo",
        "http://testserver/admin/",
        "http://testserver/nowhere/{{ contact.id }}/",
    ],
)
def test_an_address_that_may_work_is_not_complained_of(address: str) -> None:
    assert address_problem(address) == ""


def test_links_of_the_text_are_read_as_well() -> None:
    text = "See https://example.org/{{ contact.id }}, or https://example.org/{id}."
    (told,) = letter_warnings(subject="-", text=text, html="", topic="news")
    assert told == "The link “https://example.org/{id}” has a place that nobody fills in: {id}"


def test_links_are_asked_once_each_by_a_guarded_call(tmp_path: Path, settings: Settings) -> None:
    with HttpSink(tmp_path / "web.jsonl") as web:
        settings.OUTBOUND_HTTP_ALLOW = f"127.0.0.0/8:{web.port}"
        web.script(Answer(405), Answer(200), Answer(404), Answer(404))
        html = f'<a href="{web.url}/a">A</a><a href="{web.url}/a">A</a><a href="http://10.0.0.1/">B</a>'
        asked = ask_links(text="", html=f'{html}<a href="http://testserver/admin/">C</a>')
        assert [(each.ok, each.address) for each in asked] == [(True, f"{web.url}/a"), (None, "http://10.0.0.1/")]
        assert "may not be called" in asked[1].says
        (gone,) = ask_links(text=f"Look: {web.url}/b.", html="")
        assert (gone.ok, gone.says) == (False, "It does not work (404).")
        assert [each["method"] for each in web.requests()] == ["HEAD", "GET", "HEAD", "GET"]
        many = " ".join(f"{web.url}/{n}" for n in range(27))
        asked = ask_links(text=many, html="", seconds=0)
        told = ["Not asked: there was no time left."] * 25 + ["Not asked: only the first 25 are."] * 2
        assert [each.says for each in asked] == told
