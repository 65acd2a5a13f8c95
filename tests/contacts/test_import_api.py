"""Files of contacts through the API: brought, watched, cancelled, and what was refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from contacts.models import Contact, ContactImport
from crm.models import Team
from pipelines.models import PipelineRun
from tests.api import Api
from tests.contacts.importing import csv_file, work_off
from tests.pipelines.engine.building import active, email

LINES = "Work mail,Number,Notes\na@example.org,1,x\nnobody,2,y\nb@example.org,3,z\nc,4,z\n"
MAPPING = {"Work mail": "email", "Number": "custom.external_id", "Notes": "-"}


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


def bring(api: Api, lines: str = LINES, *, headers: dict[str, str] | None = None, **body: Any) -> Any:
    """A form as programs send it; the mapping is JSON."""
    client = Client(headers={"Authorization": f"Bearer {api.token}", **(headers or {})})
    given = {"mapping": json.dumps(MAPPING), **body}
    fields = {name: value for name, value in given.items() if value is not None}
    return client.post("/api/v1/contacts/import/", {"file": csv_file(lines), **fields})


def test_a_file_is_imported_and_told_of(api: Api, team: Team) -> None:
    active(team, [email(delay=60)], key="welcome")
    answer = bring(api)
    assert answer.status_code == 202
    made = answer.json()
    assert (made["state"], made["rows"], made["position"], made["source"]) == ("running", 4, 0, "api")
    assert made["columns"][1] == {"title": "Number", "field": "custom.external_id"}
    work_off()
    told = api.get(f"contacts/import/{made['id']}/").json()
    assert (told["state"], told["position"], told["counts"]["created"], told["counts"]["failed"]) == ("done", 4, 2, 2)
    assert Contact.objects.get(email="a@example.org").custom == {"external_id": "1"}
    assert PipelineRun.objects.count() == 2
    first = api.get(f"contacts/import/{made['id']}/problems/", limit=1).json()
    assert first["results"] == [
        {"line": 3, "reason": "Work mail: “nobody” is not an email address.", "cells": ["nobody", "2", "y"]}
    ]
    rest = api.get(first["next"].partition("/api/v1/")[2]).json()
    assert [each["line"] for each in rest["results"]] == [5] and rest["next"] is None
    assert [each["id"] for each in api.get("contacts/import/", state="done").json()["results"]] == [made["id"]]


def test_a_dry_run_is_started_later(api: Api, team: Team) -> None:
    active(team, [email(delay=60)], key="welcome", name="Welcome")
    number = bring(api, dry_run="true", key="external_id").json()["id"]
    assert api.post(f"contacts/import/{number}/start/").status_code == 409
    work_off()
    told = api.get(f"contacts/import/{number}/").json()
    assert (told["state"], told["key"], told["trial"]["created"]) == ("checked", "custom.external_id", 2)
    assert told["trial"]["pipelines"] == {"welcome": {"name": "Welcome", "runs": 2}}
    assert not Contact.objects.exists()
    assert api.post(f"contacts/import/{number}/start/").status_code == 202
    work_off()
    assert Contact.objects.count() == 2


def test_an_import_is_cancelled(api: Api, team: Team) -> None:
    number = bring(api).json()["id"]
    assert api.post(f"contacts/import/{number}/cancel/").json()["state"] == "cancelled"
    assert api.post(f"contacts/import/{number}/cancel/").status_code == 409
    work_off()
    assert not Contact.objects.exists()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"mapping": '{"Wörk": "email"}'}, "mapping"),
        ({"mapping": '{"Work mail": "password"}'}, "mapping"),
        ({"mapping": "[1]"}, "mapping"),
        ({"mapping": None}, "mapping"),
        ({"key": "owner"}, "mapping"),
        ({"existing": "eat"}, "existing"),
        ({"lines": "\x00"}, "file"),
        ({"lines": ""}, "file"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path_and_not_kept(
    api: Api, media: Path, body: dict[str, Any], path: str
) -> None:
    answer = bring(api, **body)
    assert answer.status_code == 400
    assert [error["path"] for error in answer.json()["errors"]] == [path]
    assert not ContactImport.objects.exists() and not list(media.rglob("*.csv"))


def test_a_file_that_is_brought_twice_with_one_key_is_taken_once(api: Api, team: Team) -> None:
    first, second = (bring(api, headers={"Idempotency-Key": "once"}) for _ in range(2))
    assert first.json()["id"] == second.json()["id"] and ContactImport.objects.count() == 1


@pytest.mark.parametrize(("role", "status"), [("member", 403), ("viewer", 403), ("manager", 202)])
def test_only_leaders_import(team: Team, role: str, status: int) -> None:
    assert bring(Api(team, role=role)).status_code == status
