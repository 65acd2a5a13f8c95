"""Every resource of the API, walked with a key: nothing of another team is read, written or guessed."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver
from django.utils import timezone
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from config.api import router
from config.api import urlpatterns as api_patterns
from crm.inbound.channel_views import channel_reports
from crm.models import ApiKey, Member, Role
from crm.permissions import MATRIX, allows
from crm.scoping.api import TeamScopedRelatedField, TeamScopedView
from pipelines.api.hooks import receive_hook
from tests.api import Api
from tests.contracts.world import SECRET, Side

NOBODYS = 999_999_999
STANDARD = {"list": ("get", "view"), "create": ("post", "add"), "retrieve": ("get", "view"),
            "partial_update": ("patch", "change"), "destroy": ("delete", "delete")}  # fmt: skip


def resources() -> list[tuple[str, Any]]:
    return [(prefix, viewset) for prefix, viewset, _ in router.registry]


def label(viewset: Any) -> str:
    return str(viewset.queryset.model._meta.label_lower)


def row_of(side: Side, viewset: Any) -> Any:
    return side.rows[label(viewset)]


def details(prefix: str, viewset: Any) -> Iterator[tuple[str, str]]:
    """(method, path with a place for the id) of everything one row answers to."""
    for method in ("get", "put", "patch", "delete"):
        yield method, f"{prefix}/#/"
    for extra in viewset.get_extra_actions():
        if extra.detail:
            for method in extra.mapping:
                yield method, f"{prefix}/#/{extra.url_path}/"


def send(api: Api, method: str, path: str, body: Any = None) -> Any:
    if method in ("get", "delete"):
        return getattr(api, method)(path)
    return getattr(api, method)(path, body or {})


def views(patterns: Any) -> Iterator[Any]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from views(pattern.url_patterns)
        elif isinstance(pattern, URLPattern):
            callback: Any = pattern.callback
            yield getattr(callback, "cls", getattr(callback, "view_class", callback))


def test_every_address_of_the_api_stands_on_the_scoped_base() -> None:
    strangers = {
        view for view in views(api_patterns) if not (isinstance(view, type) and issubclass(view, TeamScopedView))
    }
    # Incoming webhooks and reports of providers have no key: their signatures speak (test_hooks.py, test_sms.py).
    assert strangers == {SpectacularAPIView, SpectacularSwaggerSplitView, receive_hook, channel_reports}


def test_nothing_of_another_team_is_listed(ours: Side, theirs: Side) -> None:
    api = Api(ours.team, role="owner")
    for path in (*(f"{prefix}/" for prefix, _ in resources()), "status/", "logs/", "contacts/duplicates/"):
        answer = api.get(path)
        assert answer.status_code == 200, (path, answer.content)
        assert SECRET not in answer.content.decode().lower(), path


def test_a_row_of_another_team_is_like_one_that_does_not_exist(ours: Side, theirs: Side) -> None:
    api = Api(ours.team, role="owner")
    before = theirs.snapshot()
    for prefix, viewset in resources():
        foreign = row_of(theirs, viewset).pk
        for method, path in details(prefix, viewset):
            answers = [send(api, method, path.replace("#", str(pk))) for pk in (foreign, NOBODYS)]
            assert answers[0].status_code == answers[1].status_code in (400, 403, 404, 405), (method, path)
            assert answers[0].content == answers[1].content, (method, path)
    assert theirs.snapshot() == before


def test_no_relation_takes_a_row_of_another_team(ours: Side, theirs: Side) -> None:
    api = Api(ours.team, role="owner")
    before = theirs.snapshot()
    tried = 0
    for prefix, viewset in resources():
        fields = viewset.serializer_class(context={"request": None, "view": None}).get_fields()
        for name, field in fields.items():
            relation: Any = getattr(field, "child_relation", field)
            scoped = isinstance(getattr(field, "child_relation", field), TeamScopedRelatedField)
            if not scoped or relation.read_only or relation.queryset is None:
                continue
            target = relation.queryset.model._meta.label_lower
            foreign = theirs.rows[target].pk if target in theirs.rows else theirs.users[Role.MEMBER].pk
            known, unknown = (_errors(api, prefix, name, pk) for pk in (foreign, NOBODYS))
            assert known and known == unknown, (prefix, name)
            tried += 1
    assert tried >= 5
    assert theirs.snapshot() == before


def _errors(api: Api, prefix: str, name: str, pk: int) -> list[str]:
    answer = api.post(f"{prefix}/", {name: pk})
    found = answer.json()["errors"]
    return [error["message"].replace(str(pk), "#") for error in found if error["path"].startswith(name)]


@pytest.mark.parametrize(
    "query", ["colour=red", "ordering=team__name", "ordering=-digest", "team=1", "team__name=x", "page_size=x"]
)
def test_only_what_is_offered_can_be_asked(ours: Side, query: str) -> None:
    api = Api(ours.team, role="owner")
    for prefix, _ in resources():
        assert api.get(f"{prefix}/?{query}").status_code == 400, prefix


def test_no_row_moves_to_another_team(ours: Side, theirs: Side) -> None:
    api = Api(ours.team, role="owner")
    for prefix, viewset in resources():
        row = row_of(ours, viewset)
        send(api, "patch", f"{prefix}/{row.pk}/", {"team": theirs.team.pk, "team_id": theirs.team.pk})
        row.refresh_from_db()
        assert getattr(row, "team_id", ours.team.pk) == ours.team.pk, prefix


@pytest.mark.parametrize("role", list(Role))
def test_a_key_may_do_exactly_what_the_matrix_says(ours: Side, role: Role) -> None:
    api = Api(ours.team, role=role)
    for prefix, viewset in resources():
        methods = {name.lower() for name in viewset.http_method_names}
        for action, (method, verb) in STANDARD.items():
            if not hasattr(viewset, action) or method not in methods:
                continue
            path = f"{prefix}/" if action in ("list", "create") else f"{prefix}/{NOBODYS}/"
            refused = send(api, method, path).status_code == 403
            assert refused != allows(role=role, resource=viewset.resource, verb=verb), (prefix, action)
        for extra in viewset.get_extra_actions():
            verb = viewset.verbs[extra.__name__]
            assert verb in MATRIX[viewset.resource]
            place = f"{NOBODYS}/" if extra.detail else ""
            for method in extra.mapping:
                refused = send(api, method, f"{prefix}/{place}{extra.url_path}/").status_code == 403
                assert refused != allows(role=role, resource=viewset.resource, verb=verb), (prefix, extra.url_path)


def test_scopes_narrow_what_a_key_may_do(ours: Side) -> None:
    reader = Api(ours.team, role="owner", scopes=["contacts:read"])
    assert reader.get("contacts/").status_code == 200
    assert reader.post("contacts/", {"first_name": "A"}).status_code == 403
    assert reader.get("tasks/").status_code == 403
    writer = Api(ours.team, role="owner", scopes=["contacts:write"])
    assert writer.get("contacts/").status_code == 200
    assert writer.post("contacts/", {"first_name": "A"}).status_code == 201


@pytest.mark.parametrize("how", ["revoked", "expired", "maker removed", "maker disabled"])
def test_a_key_that_is_out_is_out_at_once(ours: Side, how: str) -> None:
    maker = ours.users[Role.ADMIN]
    api = Api(ours.team, role="member", created_by=maker)
    assert api.get("contacts/").status_code == 200
    key = ApiKey.objects.filter(created_by=maker)
    match how:
        case "revoked":
            key.update(revoked_at=timezone.now())
        case "expired":
            key.update(expires_at=timezone.now() - timedelta(seconds=1))
        case "maker removed":
            Member.objects.filter(user=maker).delete()
        case _:
            type(maker).objects.filter(pk=maker.pk).update(is_active=False)
    assert api.get("contacts/").status_code == 401


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer nonsense", "Basic YTpi", "Bearer crmk_00000000_" + "0" * 40 + "_000000"]
)
def test_without_a_good_key_there_is_nothing(ours: Side, header: str) -> None:
    client = Client(headers={"Authorization": header} if header else {})
    for number, (prefix, _) in enumerate(resources()):
        # Too many failures from one address would be told so.
        answer = client.get(f"/api/v1/{prefix}/", REMOTE_ADDR=f"10.1.1.{number}")
        assert answer.status_code == 401 and answer["Content-Type"] == "application/problem+json"


def test_a_key_in_the_address_is_refused(ours: Side) -> None:
    api = Api(ours.team)
    assert Client().get("/api/v1/contacts/", {"key": api.token}).status_code == 401
    assert api.get("contacts/", key=api.token).status_code == 401


def test_a_session_is_no_key(ours: Side) -> None:
    client = Client()
    client.force_login(ours.users[Role.OWNER])
    assert client.get("/api/v1/contacts/").status_code == 401
