"""What nobody can slip past the pages: markup, wider lists, places of others, and code that would run texts."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import models
from django.test import Client
from pytest_django import Settings

from crm.addresses import client_address
from crm.models import Role
from crm.permissions import RESOURCES
from crm.scoping import rows_of_team
from tests.contracts.isolation.test_admin import address, addresses, named, pages, signed_in, text_of
from tests.contracts.world import SECRET, Side
from tests.pipelines.admin.pages import form_of

ROOT = Path(__file__).resolve().parents[2]
MARKUP = "\"><img src=x onerror='alert(1)'>"
# Texts that other code reads as names, and those of versions, which the database keeps from changing.
READ_BY_CODE = {
    "slug",
    "key",
    "kind",
    "state",
    "status",
    "timezone",
    "tz",
    "message_id",
    "digest",
    "prefix",
    "action_type",
}


def test_markup_in_any_text_stays_text_on_every_page(ours: Side) -> None:
    for label in RESOURCES:
        _mark(label, ours)
    client = signed_in(ours)
    seen = 0
    for page in pages():
        for path in addresses(page, ours.rows[named(page)]):
            told = text_of(client.get(path))
            assert "<img src=x" not in told, path
            seen += "&lt;img src=x" in told
    assert "<img src=x" not in text_of(client.get("/admin/"))
    assert seen > 20


def _mark(label: str, side: Side) -> None:
    """Put markup into every free text of every row of a table."""
    model = type(side.rows[label])
    if label == "pipelines.pipelineversion":
        return
    texts = [
        field.name
        for field in model._meta.concrete_fields
        if isinstance(field, models.CharField | models.TextField)
        and not field.choices
        and field.name not in READ_BY_CODE
        and (field.max_length or 1_000) >= len(MARKUP) + 4
    ]
    for row in rows_of_team(model=model, team=side.team):
        # Where texts must differ, their number makes them differ.
        model._default_manager.filter(pk=row.pk).update(**dict.fromkeys(texts, f"{MARKUP}{row.pk}"))


@pytest.mark.parametrize("query", [{"_to_field": "id"}, {"_popup": "1"}, {"_to_field": "id", "_popup": "1"}])
def test_a_popup_shows_no_more_than_the_page(ours: Side, theirs: Side, query: dict[str, str]) -> None:
    client = signed_in(ours)
    for page in pages():
        assert SECRET not in text_of(client.get(address(page, "changelist"), query)), named(page)


def test_no_list_can_be_edited_in_place() -> None:
    """Forged rows of such a list are a way around the forms; whoever adds one adds its tests."""
    assert [named(page) for page in pages() if page.list_editable] == []


def test_rows_of_inlines_offer_nobody_of_another_team(ours: Side, theirs: Side) -> None:
    client = signed_in(ours)
    tried = 0
    for page in pages():
        answer = client.get(address(page, "change", ours.rows[named(page)].pk))
        for formset in (answer.context or {}).get("inline_admin_formsets", []) if answer.status_code == 200 else []:
            for name, field in formset.formset.empty_form.fields.items():
                rows: Any = getattr(field, "queryset", None)
                label = rows.model._meta.label_lower if rows is not None else ""
                foreign = theirs.rows.get(label) or (theirs.users[Role.MEMBER] if label == "auth.user" else None)
                if foreign is not None and name not in ("id", formset.formset.fk.name):
                    assert not rows.filter(pk=foreign.pk).exists(), (named(page), name)
                tried += 1
    assert tried


def test_rows_that_pretend_to_be_those_of_another_team_change_nothing_there(ours: Side, theirs: Side) -> None:
    client = signed_in(ours)
    before = theirs.snapshot()
    path = f"/admin/pipelines/pipeline/{ours.rows['pipelines.pipeline'].pk}/change/"
    values = form_of(client.get(path))
    for name in [name for name in values if name.endswith("-0-id")]:
        label = "pipelines.pipelinestep" if name.startswith("steps") else "pipelines.automaticpipeline"
        forged = {**values, name: theirs.rows[label].pk}
        answers = [client.post(path, forged), client.post(path, {**forged, name.replace("-id", "-DELETE"): "on"})]
        if name.startswith("steps"):
            assert all("no longer there" in text_of(answer) for answer in answers)
    assert theirs.snapshot() == before


@pytest.mark.parametrize(
    ("proxies", "seen"), [([], "10.0.0.5"), (["10.0.0.0/24"], "198.51.100.7"), (["10.9.9.9"], "10.0.0.5")]
)
def test_only_proxies_one_trusts_say_where_somebody_comes_from(
    ours: Side, settings: Settings, proxies: list[str], seen: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = Client().get("/health/live/", REMOTE_ADDR="10.0.0.5", HTTP_X_FORWARDED_FOR="6.6.6.6, 198.51.100.7")
    assert client_address(request.wsgi_request) == seen


@pytest.mark.parametrize("target", ["//evil.example/", "https://evil.example/", "javascript:alert(1)"])
def test_signing_in_leads_to_no_other_site(db: None, target: str) -> None:
    User.objects.create_user("ann", password="a-password-of-tests", is_staff=True)
    login = {"username": "ann", "password": "a-password-of-tests", "next": target}
    answer = Client().post("/admin/login/", login)
    assert answer.status_code == 302 and "evil" not in answer["Location"] and "script" not in answer["Location"]


def test_a_new_installation_has_no_account(db: None) -> None:
    assert not User.objects.exists()


def test_a_changed_password_ends_the_other_sessions(ours: Side) -> None:
    client = signed_in(ours)
    assert client.get("/admin/contacts/contact/").status_code == 200
    user = ours.users[Role.OWNER]
    user.set_password("another-password-of-tests")
    user.save()
    assert client.get("/admin/contacts/contact/").status_code == 302


def test_nobody_but_superusers_sees_accounts(ours: Side) -> None:
    client = signed_in(ours)
    for model in admin.site._registry:
        if model._meta.app_label == "auth":
            assert client.get(f"/admin/auth/{model._meta.model_name}/").status_code == 403


def test_no_code_runs_texts_or_passes_what_was_asked_on_to_the_database() -> None:
    assert [told for path in _sources() for told in _dangers(path)] == []


def _sources() -> Iterator[Path]:
    for app in ("config", "crm", "contacts", "pipelines"):
        yield from (path for path in (ROOT / app).rglob("*.py") if "migrations" not in path.parts)


RUNNING = {"eval", "exec", "pickle.loads", "pickle.load", "marshal.loads", "yaml.load", "os.system"}
ASKING = {"filter", "exclude", "get", "annotate", "order_by", "values", "values_list", "Q", "extra", "aggregate"}


def _dangers(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg is None)]
        asked = any("request." in ast.unparse(argument) for argument in _spread(node, given))
        raw = name.endswith("RawSQL") and not isinstance(node.args[0], ast.Constant)
        if raw or name in RUNNING or name.endswith(".extra") or (name.rpartition(".")[2] in ASKING and asked):
            yield f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:100]}"


def _spread(node: ast.Call, given: list[Any]) -> Iterator[ast.expr]:
    """Arguments whose names come from outside: `**request.GET` and `order_by(*request…)`."""
    names = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    for argument in given:
        spread = isinstance(argument, ast.Starred) or argument not in node.args
        if spread or names in ("order_by", "extra"):
            yield argument
