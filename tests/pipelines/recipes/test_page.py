"""The recipes in the documentation are those of the product."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from contacts.models import Segment
from crm.models import Team
from pipelines.actions.registry import BUILT_IN, kinds
from pipelines.operations import validate_document
from pipelines.recipes.page import files
from pipelines.recipes.samples import SAMPLES
from tests.api import Api
from tests.pipelines.engine.building import active, document, email

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_of_recipes_is_true() -> None:
    """Otherwise write it anew: `manage.py pipelines gallery docs`."""
    wanted = files()
    assert {path: (DOCS / path).read_text("utf-8") for path in wanted} == wanted
    assert {f"recipes/{path.name}" for path in (DOCS / "recipes").iterdir()} == set(wanted) - {"recipes.md", "steps.md"}


def test_every_kind_of_step_has_an_example_that_can_be_used(team: Team) -> None:
    assert set(SAMPLES) == {kind.code for kind in BUILT_IN}
    country = [{"name": "country", "type": "string"}]
    active(team, [email()], key="check_address", triggers=[], variables=country)
    active(team, [{"type": "wait"}], key="renewals", subject="contacts.company", triggers=[])
    Segment.objects.create(team=team, key="early-birds", name="Early birds")
    Api(team).post("secrets/", {"name": "CRM_KEY", "value": "a-long-value", "hosts": ["api.example.com"]})
    for code, sample in SAMPLES.items():
        steps = [{"type": code, **sample}, {"type": "wait", "key": "after"}]
        variables = [{"name": "attempts", "type": "number", "default": 0}]
        problems = validate_document(document(steps, variables=variables), team)
        missing = kinds()[code].off()
        wrong = [each.message for each in problems if each.severity == "error"]
        assert [each for each in wrong if not missing or missing not in each] == [], code


def test_pipelines_and_files_are_drawn(team: Team, tmp_path: Path) -> None:
    active(team, [email()])
    out = StringIO()
    call_command("pipelines", "picture", "welcome", team=team.slug, stdout=out)
    assert out.getvalue().startswith("<svg") and "Send email" in out.getvalue()
    broken = tmp_path / "broken.json"
    broken.write_text('{"format": "crm.pipeline/1", "key": "k", "name": "N", "steps": [{"type": "nothing"}]}')
    for name, says in (("missing", "no such file"), (str(broken), "steps[0].type")):
        with pytest.raises(CommandError) as caught:
            call_command("pipelines", "picture", name, team=team.slug)
        assert says in str(caught.value)
