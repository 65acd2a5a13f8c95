"""Every page of the admin, walked by every role: nothing of another team shows, and nothing of it changes."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.forms import ModelChoiceField
from django.test import Client
from django.urls import reverse

from crm.models import Member, Role
from crm.permissions import RESOURCES, allows
from tests.contracts.world import SECRET, Side, subject_columns

NOBODYS = 999_999_999
DONE = (200, 302, 403, 404)


def pages() -> list[Any]:
    """Pages of the product's own tables; those of accounts are for superusers alone."""
    return [page for model, page in admin.site._registry.items() if model._meta.label_lower in RESOURCES]


def named(page: Any) -> str:
    return str(page.opts.label_lower)


def address(page: Any, what: str, *args: Any) -> str:
    return reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_{what}", args=args)


def signed_in(side: Side, role: Role = Role.OWNER) -> Client:
    client = Client()
    client.force_login(side.users[role])
    return client


def text_of(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return f"{content.decode('utf-8', 'replace')} {answer.get('Location', '')}".lower()


def addresses(page: Any, row: Any) -> Iterator[str]:
    yield address(page, "changelist")
    yield address(page, "add")
    for what in ("change", "delete", "history"):
        yield address(page, what, row.pk)


def test_every_table_of_the_product_has_its_place() -> None:
    """A table that is neither in the matrix nor closed on purpose would be seen by nobody's tests."""
    own = {
        model._meta.label_lower
        for model in admin.site._registry
        if model._meta.app_label in ("crm", "contacts", "pipelines")
    }
    assert own <= set(RESOURCES)
    assert not [model for model in admin.site._registry if model._meta.app_label == "django_q"]


@pytest.mark.parametrize("role", list(Role))
def test_no_page_shows_anything_of_another_team(ours: Side, theirs: Side, role: Role) -> None:
    client = signed_in(ours, role)
    for page in pages():
        for path in addresses(page, ours.rows[named(page)]):
            answer = client.get(path)
            assert answer.status_code in DONE, path
            assert SECRET not in text_of(answer), path
    assert SECRET not in text_of(client.get("/admin/"))


@pytest.mark.parametrize("role", [Role.OWNER, Role.VIEWER])
def test_a_row_of_another_team_is_like_one_that_does_not_exist(ours: Side, theirs: Side, role: Role) -> None:
    client = signed_in(ours, role)
    before = theirs.snapshot()
    for page in pages():
        foreign = theirs.rows[named(page)].pk
        for what in ("change", "delete", "history"):
            for send in (client.get, client.post):
                answers = [send(address(page, what, pk)) for pk in (foreign, NOBODYS)]
                assert answers[0].status_code == answers[1].status_code, (named(page), what)
                known, unknown = (
                    text_of(answer).replace(str(pk), "#")
                    for answer, pk in zip(answers, (foreign, NOBODYS), strict=True)
                )
                assert SECRET not in known
                assert ("location" in known) == ("location" in unknown)
    assert theirs.snapshot() == before


def test_no_form_offers_or_takes_a_row_of_another_team(ours: Side, theirs: Side) -> None:
    client = signed_in(ours)
    before = theirs.snapshot()
    for page in pages():
        answer = client.get(address(page, "add"))
        if answer.status_code != 200 or not answer.context or "adminform" not in answer.context:
            continue
        form = answer.context["adminform"].form
        for name, field in form.fields.items():
            if isinstance(field, ModelChoiceField) and field.queryset is not None:
                label = field.queryset.model._meta.label_lower
                foreign = theirs.rows.get(label) or (theirs.users[Role.MEMBER] if label == "auth.user" else None)
                if foreign is not None:
                    assert not field.queryset.filter(pk=foreign.pk).exists(), (named(page), name)
                    _refused(client, page, form, name, foreign.pk)
        for name in subject_columns(page.model):
            if name in form.fields:
                kind = form.fields[name.replace("_id", "_type")].queryset.get(model="contact")
                _refused(
                    client,
                    page,
                    form,
                    name,
                    theirs.rows["contacts.contact"].pk,
                    **{name.replace("_id", "_type"): kind.pk},
                )
    assert theirs.snapshot() == before


def _refused(client: Client, page: Any, form: Any, name: str, value: Any, **more: Any) -> None:
    data = {field: form[field].value() for field in form.fields if form[field].value() is not None}
    count = page.model._default_manager.count()
    answer = client.post(address(page, "add"), {**data, **more, name: value})
    assert answer.status_code == 200, (named(page), name)
    errors = answer.context["adminform"].form.errors if "adminform" in (answer.context or {}) else {}
    assert name in errors or page.model._default_manager.count() == count, (named(page), name)
    assert SECRET not in text_of(answer)


def test_search_boxes_of_forms_find_nothing_of_another_team(ours: Side, theirs: Side) -> None:
    client = signed_in(ours)
    for page in pages():
        for field in page.model._meta.fields:
            if not field.is_relation:
                continue
            for term in ("", SECRET[:4]):
                query = {
                    "app_label": page.opts.app_label,
                    "model_name": page.opts.model_name,
                    "field_name": field.name,
                    "term": term,
                }
                assert SECRET not in text_of(client.get("/admin/autocomplete/", query)), (named(page), field.name)


def test_no_column_can_be_guessed_letter_by_letter(ours: Side, theirs: Side) -> None:
    """A filter that nobody offered would answer questions about columns that nobody may see."""
    client = signed_in(ours)
    for page in pages():
        offered = {str(item).split("__")[0] for item in page.list_filter if isinstance(item, str)}
        for field in page.model._meta.concrete_fields:
            if field.name in offered or field.primary_key:
                continue
            answer = client.get(address(page, "changelist"), {f"{field.name}__startswith": "s"})
            assert answer.status_code == 400 or answer.get("Location", "").endswith("e=1"), (named(page), field.name)
        for path in ("team__name__startswith", "team__api_keys__digest", "owner__password"):
            answer = client.get(address(page, "changelist"), {path: "s"})
            assert answer.status_code == 400 or answer.get("Location", "").endswith("e=1"), (named(page), path)


def test_no_action_reaches_another_team(ours: Side, theirs: Side) -> None:
    client = signed_in(ours)
    before = theirs.snapshot()
    for page in pages():
        answer = client.get(address(page, "changelist"))
        form = answer.context.get("action_form") if answer.context else None
        names = [value for value, _ in form.fields["action"].choices if value] if form else []
        for name in names:
            for across in ("0", "1"):
                body = {
                    "action": name,
                    "_selected_action": [theirs.rows[named(page)].pk],
                    "select_across": across,
                    "post": "yes",
                }
                if across == "1":
                    body["q"] = SECRET
                assert SECRET not in text_of(client.post(address(page, "changelist"), body)), (named(page), name)
    assert theirs.snapshot() == before


@pytest.mark.parametrize("role", list(Role))
def test_pages_allow_what_the_written_matrix_allows(ours: Side, role: Role) -> None:
    client = signed_in(ours, role)
    request: Any = client.get("/admin/").wsgi_request
    request.member, request.team = Member.objects.get(user=ours.users[role]), ours.team
    for page in pages():
        for verb in ("view", "add", "change", "delete"):
            wanted = allows(role=role, resource=RESOURCES[named(page)], verb=verb)
            may = getattr(page, f"has_{verb}_permission")(request)
            # A page may be stricter than the matrix, such as one that only shows; never looser.
            assert wanted or not may, (named(page), verb)
            if verb == "view":
                assert may == wanted, named(page)


@pytest.mark.parametrize("how", ["removed", "disabled"])
def test_who_is_out_is_out_at_once(ours: Side, how: str) -> None:
    client = signed_in(ours, Role.ADMIN)
    assert client.get("/admin/contacts/contact/").status_code == 200
    if how == "removed":
        Member.objects.filter(user=ours.users[Role.ADMIN]).delete()
    else:
        user = ours.users[Role.ADMIN]
        user.is_active = False
        user.save()
    answer = client.get("/admin/contacts/contact/")
    assert answer.status_code == 302 and "login" in answer["Location"]
