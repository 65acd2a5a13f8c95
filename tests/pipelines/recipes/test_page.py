"""The recipes in the documentation are those of the product."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from crm.models import Team
from pipelines.recipes.page import files
from tests.pipelines.engine.building import active, email

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_of_recipes_is_true() -> None:
    """Otherwise write it anew: `manage.py pipelines gallery docs`."""
    wanted = files()
    assert {path: (DOCS / path).read_text("utf-8") for path in wanted} == wanted
    assert {f"recipes/{path.name}" for path in (DOCS / "recipes").iterdir()} == set(wanted) - {"recipes.md"}


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
