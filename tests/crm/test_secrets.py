"""Secrets of a team: written by admins, replaced, never shown, and not deleted without a word about what needs them."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from crm.models import AuditEntry, Member, Secret, Team
from crm.sealing import unseal
from pipelines.operations import archive, import_document
from tests.api import Api
from tests.pipelines.admin.pages import form_of, text_of
from tests.pipelines.engine.building import document

VALUE = "sk-canary-3f9a7b/21+c=77"


@pytest.fixture
def team(db: None) -> Team:
    return Team.objects.create(name="Acme", slug="acme")


def signed_in(client: Client, team: Team, role: str) -> Client:
    user = get_user_model().objects.create_user(role, is_staff=True)
    Member.objects.create(team=team, user=user, role=role)
    client.force_login(user)
    return client


def body(**more: object) -> dict[str, object]:
    return {"name": "BILLING_KEY", "value": VALUE, "hosts": ["API.example.com"], **more}


def test_a_value_is_sealed_and_only_its_end_is_shown(team: Team) -> None:
    api = Api(team)
    made = api.post("secrets/", body())
    assert made.status_code == 201 and VALUE not in made.content.decode()
    assert made.json()["shown"] == "••••c=77" and made.json()["hosts"] == ["api.example.com"]
    row = Secret.objects.get()
    assert VALUE not in row.sealed and unseal(row.sealed) == VALUE
    assert api.patch(f"secrets/{row.pk}/", {"hosts": ["b.example"]}).json()["shown"] == "••••c=77"
    assert api.patch(f"secrets/{row.pk}/", {"value": "shorter-one"}).json()["shown"] == "••••"
    assert unseal(Secret.objects.get().sealed) == "shorter-one"
    entries = str(list(AuditEntry.objects.values()))
    assert "secrets.added" in entries and "secrets.changed" in entries and "canary" not in entries


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"name": "billing_key"}, "name"),
        ({"name": "1KEY"}, "name"),
        ({"value": "short"}, "value"),
        ({"value": "has a\nline break"}, "value"),
        ({"value": "not ÄSCII at all"}, "value"),
        ({"hosts": []}, "hosts"),
        ({"hosts": ["https://a.example/"]}, "hosts"),
        ({"hosts": ["a.example:8080"]}, "hosts"),
        ({"hosts": ["*.example"]}, "hosts"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_not_kept(team: Team, more: dict[str, object], path: str) -> None:
    answer = Api(team).post("secrets/", body(**more))
    assert answer.status_code == 400 and path in answer.json()["errors"][0]["path"]
    assert not Secret.objects.exists()


def test_a_name_is_given_once_in_a_team(team: Team) -> None:
    other = Team.objects.create(name="Other", slug="other")
    assert [Api(each).post("secrets/", body()).status_code for each in (team, other, team)] == [201, 201, 400]
    without = body()
    del without["value"]
    assert Api(team).post("secrets/", {**without, "name": "NEW"}).status_code == 400


@pytest.mark.parametrize(
    ("role", "reads", "writes"), [("manager", 200, 403), ("member", 403, 403), ("admin", 200, 201)]
)
def test_only_admins_write_secrets(team: Team, role: str, reads: int, writes: int) -> None:
    api = Api(team, role=role)
    assert (api.get("secrets/").status_code, api.post("secrets/", body()).status_code) == (reads, writes)


def test_an_admin_adds_a_secret_and_replaces_its_value(team: Team, client: Client) -> None:
    signed_in(client, team, "admin")
    assert "the key of another system" in client.get("/admin/crm/secret/").content.decode()
    given = {"name": "BILLING_KEY", "hosts": "api.example.com\nb.example\n"}
    assert "This field is required." in client.post("/admin/crm/secret/add/", given).content.decode()
    assert "Write 8 to" in client.post("/admin/crm/secret/add/", {**given, "value": "short"}).content.decode()
    refused = client.post("/admin/crm/secret/add/", {**given, "value": VALUE, "hosts": "a/b"}).content.decode()
    assert "is not the name of a host" in refused and VALUE not in refused
    assert client.post("/admin/crm/secret/add/", {**given, "value": VALUE}).status_code == 302
    row = Secret.objects.get()
    assert (unseal(row.sealed), row.hosts) == (VALUE, ["api.example.com", "b.example"])
    path = f"/admin/crm/secret/{row.pk}/change/"
    page = client.get(path).content.decode()
    assert "Kept: ••••c=77" in page and "api.example.com\nb.example" in page and VALUE not in page
    assert client.post(path, {**given, "value": ""}).status_code == 302
    assert unseal(Secret.objects.get().sealed) == VALUE
    assert client.post(path, {**given, "value": "another-value"}).status_code == 302
    assert unseal(Secret.objects.get().sealed) == "another-value"
    for entry in ("secrets.added", "secrets.changed"):
        assert AuditEntry.objects.filter(action=entry, team=team).exists()


def call(headers: dict[str, str]) -> dict[str, object]:
    return {"type": "call_api", "with": {"url": "https://api.example.com/", "headers": headers}}


def test_who_deletes_a_secret_is_told_which_pipelines_need_it(team: Team, client: Client) -> None:
    signed_in(client, team, "owner")
    rows = [Api(team).post("secrets/", body(name=name)).json()["id"] for name in ("BILLING_KEY", "BILLING")]
    step = call({"X": "{{ secret.BILLING_KEY }}"})
    inside = {"type": "loop", "with": {"times": 2, "steps": [step]}}
    import_document(team=team, document=document([inside], key="draft_of_mine"))
    import_document(team=team, document=document([step], key="that_runs"), activate=True)
    import_document(team=team, document=document([step], key="changed_since"), activate=True)
    import_document(team=team, document=document([{"key": "new", "type": "wait"}], key="changed_since"), activate=True)
    archive(pipeline=import_document(team=team, document=document([step], key="put_away"), activate=True))
    asked, other = [client.get(f"/admin/crm/secret/{row}/delete/").content.decode() for row in rows]
    assert "BILLING_KEY is used by the pipeline ‘Draft Of Mine’: its calls will fail." in asked
    assert "‘That Runs’" in asked and "is used by" not in other
    assert "‘Changed Since’" not in asked and "‘Put Away’" not in asked
    assert client.post(f"/admin/crm/secret/{rows[0]}/delete/", {"post": "yes"}).status_code == 302
    assert AuditEntry.objects.filter(action="secrets.deleted", team=team).exists()


def renamed(client: Client, row: int, name: str, **more: str) -> str:
    """What one reads when the form of a secret is sent with another name; empty where it was saved."""
    path = f"/admin/crm/secret/{row}/change/"
    answer = client.post(path, {**form_of(client.get(path), "secret_form"), "name": name, **more})
    return "" if answer.status_code == 302 else text_of(answer)


def test_who_renames_a_secret_is_told_first_which_pipelines_need_it(team: Team, client: Client) -> None:
    signed_in(client, team, "admin")
    row = Api(team).post("secrets/", body()).json()["id"]
    step = call({"X": "{{ secret.BILLING_KEY }}"})
    import_document(team=team, document=document([step], key="that_runs"), activate=True)
    assert "Used by the pipeline ‘That Runs’." in text_of(client.get(f"/admin/crm/secret/{row}/change/"))
    told = renamed(client, row, "INVOICE_KEY", value="another-value")
    assert "BILLING_KEY is used by the pipeline ‘That Runs’: calls will fail until they name INVOICE_KEY." in told
    assert "Write the new value again" in told and "Write the new" not in renamed(client, row, "INVOICE_KEY")
    assert Secret.objects.get().name == "BILLING_KEY" and unseal(Secret.objects.get().sealed) == VALUE
    assert renamed(client, row, "BILLING_KEY", value="another-value") == "", "the name stays, so nobody is asked"
    assert renamed(client, row, "INVOICE_KEY", all_the_same="on") == ""
    assert Secret.objects.get().name == "INVOICE_KEY"


def test_a_secret_that_nothing_needs_is_renamed_at_once(team: Team, client: Client) -> None:
    signed_in(client, team, "admin")
    row = Api(team).post("secrets/", body()).json()["id"]
    assert "all the same" not in text_of(client.get(f"/admin/crm/secret/{row}/change/"))
    assert renamed(client, row, "INVOICE_KEY") == ""
    assert Secret.objects.get().name == "INVOICE_KEY"


def test_who_may_only_look_is_not_asked(team: Team, client: Client) -> None:
    row = Api(team).post("secrets/", body()).json()["id"]
    import_document(team=team, document=document([call({"X": "{{ secret.BILLING_KEY }}"})], key="that_runs"))
    told = text_of(signed_in(client, team, "manager").get(f"/admin/crm/secret/{row}/change/"))
    assert "api.example.com" in told and "all the same" not in told
