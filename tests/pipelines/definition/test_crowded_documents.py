"""Lists in documents that are far longer than people write them are refused at once, with their place."""

from typing import Any

import pytest

from pipelines.definition.document import check

MAIL = {"type": "send_email", "with": {"template": "hello"}}
SWITCH = {"type": "switch", "with": {"cases": [{"name": f"c{n}", "if": "1 == 1"} for n in range(60_000)]}}
CROWDED: dict[str, tuple[dict[str, Any], str]] = {
    "triggers": ({"triggers": [{"type": "manual"}] * 60_000}, "triggers"),
    "variables": ({"variables": [{"name": f"v{n}", "type": "string"} for n in range(60_000)]}, "variables"),
    "steps": ({"steps": [MAIL] * 60_000}, "steps"),
    "steps inside a loop": ({"steps": [{"type": "loop", "with": {"times": 2, "steps": [MAIL] * 60_000}}]}, "steps"),
    "outcomes of a step": ({"steps": [{**MAIL, "on": {f"o{n}": "end" for n in range(60_000)}}]}, "steps[0].on"),
    "cases of a switch": ({"steps": [SWITCH]}, "steps[0].with.cases"),
}


@pytest.mark.parametrize(("given", "path"), list(CROWDED.values()), ids=list(CROWDED))
def test_a_crowded_list_is_told_and_nothing_else_is_looked_at(given: dict[str, Any], path: str, kinds: Any) -> None:
    document = {"format": "crm.pipeline/1", "key": "crowded", "name": "Crowded", "steps": [MAIL], **given}
    (problem,) = check(document, kinds=kinds)
    assert problem.path == path
    assert problem.message.startswith("at most 1,000 may stand here, not 60,00")


def test_a_thousand_entries_are_not_too_many(kinds: Any) -> None:
    variables = [{"name": f"v{n}", "type": "string"} for n in range(1_000)]
    document = {"format": "crm.pipeline/1", "key": "full", "name": "Full", "steps": [MAIL], "variables": variables}
    assert check(document, kinds=kinds) == []
