"""A schedule of somebody else that breaks every schedule: our ticks go on, and the doctor names it."""

import json
from pathlib import Path

import pytest

from tests.installation import installation
from tests.pipelines.engine.building import document, email
from tests.project.processes import eventually

pytestmark = pytest.mark.slow


def test_f29_ticks_go_on_beside_a_schedule_that_cannot_be_read(tmp_path: Path) -> None:
    with installation(tmp_path, name="foreign") as made:
        made.environment |= {"PIPELINES_KICK": "0", "DJANGO_SETTINGS_MODULE": "tests.faults.quick_settings"}
        file = tmp_path / "pipeline.json"
        file.write_text(json.dumps(document([email(delay=3)])), "utf-8")
        made.command("pipelines", "import", str(file), "--team", "acme", "--activate")
        made.command(
            "shell", "--verbosity", "0", "-c",
            "from django_q.models import Schedule as S; from django.utils import timezone as t;"
            "s = S.objects.create(name='foreign', func='time.time', next_run=t.now());"
            "S.objects.filter(pk=s.pk).update(args='(1')",
        )  # fmt: skip
        people = tmp_path / "people.csv"
        people.write_text("Email\nann@example.org", "utf-8")
        made.command("import_contacts", str(people), "--team", "acme")
        made.start("worker")
        eventually(lambda: made.smtp.recipients() == ["ann@example.org"])
        found = json.loads(made.command("doctor", "--json", status=None))["findings"]
        assert "schedule.malformed" in {finding["code"] for finding in found}
