"""Suppressions of other systems come in by a file: looked at first, each row with its reason, and out again."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command

from crm.models import ConsentEntry, Suppression, Team
from tests.contacts.conftest import SignIn
from tests.contacts.conftest import sign_in as sign_in
from tests.contacts.conftest import team as team

LIST = """E-Mail;Reason;Topic
Ann@Example.org;Hard Bounce;
bob@example.org;unsubscribe;news
bob@example.org;unsubscribe;news
not an address;spam;
zoe@example.org;bored;
;spam;
=1+1@example.org;complaint;
"""
PAGE = "/admin/crm/suppression/import/"


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = str(tmp_path)


def rows() -> list[tuple[str, str, str]]:
    return list(Suppression.objects.order_by("address").values_list("address", "topic", "reason"))


TAKEN = [
    ("=1+1@example.org", "", "complained"),
    ("ann@example.org", "", "bounced"),
    ("bob@example.org", "news", "unsubscribed"),
]


def test_a_list_is_looked_at_before_it_is_taken(sign_in: SignIn, team: Team) -> None:
    maya = sign_in("manager")
    told = maya.post(PAGE, {"file": SimpleUploadedFile("old.csv", LIST.encode())})
    text = told.content.decode()
    assert "3 new, 1 known before or twice in the file, 3 that cannot be taken" in text and not rows()
    assert "Line 6: The reason “bored” is not known" in text
    given = {"token": told.context["token"], "name": "old.csv"}
    assert "Taken in" in maya.post(PAGE, given).content.decode() and rows() == TAKEN
    assert "no longer here" in maya.post(PAGE, given, follow=True).content.decode()
    entry = ConsentEntry.objects.get()
    assert (entry.address, entry.how, entry.who) == ("bob@example.org", "import", "import of old.csv")
    lines = maya.get("/admin/crm/suppression/export/").getvalue().decode().splitlines()
    assert len(lines) == 4 and any(line.startswith('"\'=1+1@example.org"') for line in lines)
    member = sign_in("member")
    assert member.get(PAGE).status_code in (302, 403) and member.get("/admin/crm/suppression/export/").status_code in (
        302,
        403,
    )


def test_what_went_out_comes_in_unchanged_and_rows_that_fail_are_written_down(team: Team, tmp_path: Path) -> None:
    path, errors, out = tmp_path / "list.csv", tmp_path / "errors.csv", StringIO()
    path.write_text(LIST)
    for dry in ([], ["--dry-run"]):
        with pytest.raises(SystemExit):
            call_command(
                "suppressions", "import", path, "--team=acme", "--json", f"--errors={errors}", *dry, stdout=out
            )
    counts = [json.loads(line) for line in out.getvalue().splitlines()]
    assert counts == [{"new": 3, "known": 1, "failed": 3}, {"new": 0, "known": 4, "failed": 3}]
    assert len(errors.read_text().splitlines()) == 4 and rows() == TAKEN
    call_command("suppressions", "export", "--team=acme", f"--output={tmp_path / 'out.csv'}")
    Suppression.objects.all().delete()
    call_command("suppressions", "import", tmp_path / "out.csv", "--team=acme", stdout=StringIO())
    assert rows() == TAKEN and Suppression.objects.exclude(source="import of list.csv").count() == 0


def test_ten_thousand_rows_cost_few_statements(team: Team, tmp_path: Path, django_assert_max_num_queries: Any) -> None:
    path = tmp_path / "list.csv"
    path.write_text("email\n" + "".join(f"a{n}@example.org\n" for n in range(10_000)))
    with django_assert_max_num_queries(120):
        call_command("suppressions", "import", path, "--team=acme", stdout=StringIO())
    assert Suppression.objects.filter(reason="manual").count() == 10_000
