"""What is wrong with parameters is told in words before anything is published."""

from typing import Any

import pytest
from pytest_django import Settings

from crm.models import Team
from tests.pipelines.operations.test_field_types import team, told

__all__ = ["team"]
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("a = 1\nresult = (", "this does not read as Python: '(' was never closed (line 2, column 10)"),
        ("result = {'a': context['steps']}", ""),
        ("(" * 5_000, "this does not read as Python"),
    ],
)
def test_code_that_nobody_could_read_is_warned_about(
    team: Team, settings: Settings, source: str, sentence: str
) -> None:
    settings.PIPELINES_CODE_STEPS = True
    found = told(team, {"key": "c", "type": "code", "with": {"source": source}})
    said = [(each.path, each.severity, each.message) for each in found if each.path.endswith("source")]
    assert [path for path, _, _ in said] == (["steps[0].with.source"] if sentence else [])
    assert all(severity == "warning" and message.startswith(sentence) for _, severity, message in said)


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (
            {"type": "find_records", "with": {"model": "contacts.deal", "order": "By Amount"}},
            "must be the name of a field, such as created_at or -amount",
        ),
        (
            {"type": "create_record", "with": {"model": "deals", "values": {"title": "x"}}},
            "must be contacts.contact, contacts.company, contacts.deal, crm.task or records.<type>",
        ),
        ({"type": "send_email", "with": {"template": "A b"}}, "must be 1 to 60 small letters, digits, '-' and '_'"),
        (
            {"type": "add_to_segment", "with": {"segment": "Hot ones"}},
            "must be the key of a segment: small letters, digits, '-' and '_'",
        ),
    ],
)
def test_a_text_that_does_not_fit_is_told_in_words_and_not_as_a_pattern(
    team: Team, step: dict[str, Any], sentence: str
) -> None:
    assert sentence in [each.message for each in told(team, {"key": "s", **step})]
