"""Only parameters and delays are worked out later; a text in any other place is judged as it stands."""

from typing import Any

import pytest

from pipelines.definition.document import check

MAIL = {"type": "send_email", "with": {"template": "hello"}}
PARALLEL = {"type": "parallel", "with": {"branches": ["= x", "= y"]}}
LOOP = {"type": "loop", "with": {"over": "= [1]", "steps": [{**MAIL, "set": "= x"}]}}
FIXED: list[tuple[str, dict[str, Any], str, str]] = [
    ("parameters", {"steps": [{**MAIL, "with": "= x"}]}, "steps[0].with", "must be an object"),
    ("assignments", {"steps": [{**MAIL, "set": "{{ x }}"}]}, "steps[0].set", "must be an object"),
    ("targets", {"steps": [{**MAIL, "on": "= x"}]}, "steps[0].on", "must be an object"),
    ("retry", {"steps": [{**MAIL, "retry": "= x"}]}, "steps[0].retry", "must be"),
    ("variable", {"variables": ["= x"]}, "variables[0]", "must be an object"),
    ("trigger", {"triggers": ["{{ x }}"]}, "triggers[0]", "must be an object"),
    ("branch", {"steps": [PARALLEL]}, "steps[0].with.branches[0]", "must be an object"),
    ("inside a block", {"steps": [LOOP]}, "steps[0].with.steps[0].set", "must be an object"),
    ("truth for a loop", {"steps": [{"type": "loop", "with": True}]}, "steps[0].with", "must be an object"),
]


@pytest.mark.parametrize(("given", "path", "sentence"), [row[1:] for row in FIXED], ids=[row[0] for row in FIXED])
def test_what_has_another_shape_is_told(given: dict[str, Any], path: str, sentence: str, kinds: Any) -> None:
    document = {"format": "crm.pipeline/1", "key": "test", "name": "Test", "steps": [MAIL], **given}

    messages = [each.message for each in check(document, kinds=kinds) if each.path == path]

    assert any(sentence in each for each in messages), messages


def test_a_delay_may_be_worked_out_later(kinds: Any) -> None:
    step = {**MAIL, "delay": "= days(3)"}
    document = {"format": "crm.pipeline/1", "key": "test", "name": "Test", "steps": [step]}

    assert check(document, kinds=kinds) == []
