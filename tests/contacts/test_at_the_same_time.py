"""Two who write into one record: each keeps what the other wrote, whoever read it first."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from contacts.models import Company, Contact, Deal, Record, RecordType
from crm.models import Team
from tests.api import Api
from tests.project.processes import eventually

FIELDS = [{"key": key, "label": key, "type": "integer"} for key in ("shoe", "hat", "glove")]
KINDS: list[Any] = [
    (Contact, "contacts", {"first_name": "Ann"}, {"phone": "+39061234567"}, {"lifecycle_stage": "customer"}),
    (Company, "companies", {"name": "Acme"}, {"phone": "+39061234567"}, {"industry": "Tea"}),
    (Deal, "deals", {"title": "Tea"}, {"currency": "CHF"}, {"stage": "won"}),
]


@contextmanager
def after_the_first_look(model: Any, deed: Callable[[], object]) -> Iterator[None]:
    """Does something as soon as a row of the model was read: the reader has it in hand, and it is old."""
    done: list[str] = []

    def watch(execute: Any, sql: str, *args: Any) -> Any:
        answer = execute(sql, *args)
        if not done and sql.startswith("SELECT") and f'FROM "{model._meta.db_table}"' in sql:
            done.append(sql)
            deed()
        return answer

    with connection.execute_wrapper(watch):
        yield
    assert done


@pytest.mark.parametrize(("model", "place", "named", "ours", "theirs"), KINDS)
def test_a_change_by_the_api_keeps_what_was_written_since_it_read(
    api: Api, team: Team, model: Any, place: str, named: Any, ours: Any, theirs: Any
) -> None:
    row = model.objects.create(team=team, custom={"shoe": 38}, **named)

    def deed() -> None:
        model.objects.filter(pk=row.pk).update(custom={"shoe": 39, "hat": 58}, **theirs)

    with after_the_first_look(model, deed):
        answer = api.patch(f"{place}/{row.pk}/", {**ours, "custom": {"glove": 8}})
    assert answer.status_code == 200, answer.content
    row.refresh_from_db()
    assert row.custom == answer.json()["custom"] == {"shoe": 39, "hat": 58, "glove": 8}
    assert {name: getattr(row, name) for name in {**ours, **theirs}} == {**ours, **theirs}


@pytest.mark.parametrize(("model", "place", "named", "ours", "theirs"), KINDS)
def test_a_record_that_is_gone_by_the_time_it_is_written_is_not_found(
    api: Api, team: Team, model: Any, place: str, named: Any, ours: Any, theirs: Any
) -> None:
    row = model.objects.create(team=team, **named)
    with after_the_first_look(model, model.objects.all().delete):
        assert api.patch(f"{place}/{row.pk}/", ours).status_code == 404
    assert not model.objects.exists()


def test_values_of_own_records_keep_what_was_written_since_they_were_read(api: Api, team: Team) -> None:
    kind = RecordType.objects.create(team=team, key="size", label="Size", fields=FIELDS)
    row = Record.objects.create(team=team, type=kind, values={"shoe": 38})
    deed = Record.objects.filter(pk=row.pk).update
    with after_the_first_look(Record, lambda: deed(values={"shoe": 39, "hat": 58})):
        answer = api.patch(f"records/size/{row.pk}/", {"values": {"glove": 8}})
    assert answer.json()["values"] == {"shoe": 39, "hat": 58, "glove": 8}
    assert api.put(f"records/size/{row.pk}/", {"values": {"hat": 1}}).json()["values"] == {"hat": 1}


@pytest.mark.parametrize(("model", "place", "named", "ours", "theirs"), KINDS)
def test_custom_values_that_grow_piece_by_piece_have_the_same_limits(
    api: Api, team: Team, model: Any, place: str, named: Any, ours: Any, theirs: Any
) -> None:
    row = model.objects.create(team=team, custom={f"k{n}": n for n in range(99)}, **named)
    path = f"{place}/{row.pk}/"
    assert api.patch(path, {"custom": {"one_more": 1}}).status_code == 200
    for much in ({"too_many": 1}, {"k0": "x" * 65_000}):
        refused = api.patch(path, {"custom": much})
        assert refused.status_code == 400 and refused.json()["errors"][0]["path"] == "custom", refused.content
    assert api.patch(path, {"custom": {"k1": None, "another": 1}}).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_a_change_waits_for_the_one_that_is_being_written(team: Team) -> None:
    api, deal = Api(team), Deal.objects.create(team=team, title="Tea", custom={"shoe": 38})

    def patch() -> int:
        try:
            return int(api.patch(f"deals/{deal.pk}/", {"custom": {"glove": 8}}).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(), connection.cursor() as cursor:
            Deal.objects.filter(pk=deal.pk).update(stage="won", custom={"shoe": 38, "hat": 58})
            patching = pool.submit(patch)

            def it_waits() -> bool:
                cursor.execute("SELECT count(*) FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
                return bool(cursor.fetchone()[0])

            eventually(it_waits)
        assert patching.result() == 200
    deal.refresh_from_db()
    assert (deal.stage, deal.custom) == ("won", {"shoe": 38, "hat": 58, "glove": 8})


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_two_imports_of_one_file_create_its_records_once(team: Team, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("name\nTea\nSteel\n", "utf-8")

    def bring() -> None:
        try:
            given = ["--team", "acme", "--model", "companies", "--key", "name"]
            call_command("import_records", str(file), *given, stdout=StringIO())
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic(), connection.cursor() as cursor:
            Team.objects.select_for_update().get(pk=team.pk)
            both = [pool.submit(bring) for _ in range(2)]

            def they_wait() -> bool:
                cursor.execute(
                    "SELECT DISTINCT pid FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_locks"
                    " JOIN pg_database d ON d.oid = database WHERE d.datname = current_database())"
                )
                return len(cursor.fetchall()) == 2

            eventually(they_wait)
        for each in both:
            each.result()
    assert sorted(Company.objects.values_list("name", flat=True)) == ["Steel", "Tea"]
