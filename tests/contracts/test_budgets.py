"""A list costs the same with a few rows and with many, in the admin and in the API."""

from collections.abc import Callable

from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.api import router
from crm.models import Role
from crm.permissions import RESOURCES
from tests.api import Api
from tests.contracts.world import Side


def statements(visit: Callable[[], object], *, warm: bool) -> int:
    """What a visit asks; the first one ever also fills caches, so it is made twice."""
    if not warm:
        visit()
    with CaptureQueriesContext(connection) as queries:
        visit()
    return len(queries)


def costs(side: Side, client: Client, api: Api, *, warm: bool = False) -> dict[str, int]:
    def measure(visit: Callable[[], object]) -> int:
        return statements(visit, warm=warm)

    found = {}
    for model, page in admin.site._registry.items():
        if model._meta.label_lower in RESOURCES:
            path = reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_changelist")
            found[path] = measure(lambda path=path: client.get(path))  # type: ignore[misc]
    for prefix, _, _ in router.registry:
        found[prefix] = measure(lambda prefix=prefix: api.get(f"{prefix}/", page_size="100"))  # type: ignore[misc]
    for path in ("/admin/", f"/admin/contacts/contact/{side.rows['contacts.contact'].pk}/change/"):
        found[path] = measure(lambda path=path: client.get(path))  # type: ignore[misc]
    found["status"] = measure(lambda: api.get("status/"))
    found["logs"] = measure(lambda: api.get("logs/"))
    return found


def test_every_list_costs_the_same_with_few_and_with_many_rows(ours: Side) -> None:
    client, api = Client(), Api(ours.team, role="owner")
    client.force_login(ours.users[Role.OWNER])
    ours.grow(3)
    few = costs(ours, client, api)
    grow_again(ours)
    many = costs(ours, client, api, warm=True)
    if any(many[path] > few[path] for path in few):
        # What is asked once a minute may have fallen into this look; what grows with rows is there again in the next.
        many = costs(ours, client, api, warm=True)
    grown = {path: (few[path], many[path]) for path in few if many[path] > few[path]}
    assert not grown
    assert max(many.values()) < 60


def grow_again(side: Side) -> None:
    """The same people and keys of pipelines cannot be made twice, so the second time they have another word."""
    side.word = f"{side.word}x"
    side.grow(17)
