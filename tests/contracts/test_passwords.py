"""Pages and lists read no password, not even as a hash; the session's own check alone does."""

import re
from collections.abc import Callable, Iterator
from functools import partial

from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.api import router
from crm.models import Role
from crm.permissions import RESOURCES
from tests.api import Api
from tests.contracts.world import Side

PASSWORD = re.compile(r'"auth_user"\."password"|\w+\."password"')


def reading(visit: Callable[[], object], signed_in: User | None = None) -> list[str]:
    """Statements of a visit that read passwords, but for the one by which a session is checked."""
    with CaptureQueriesContext(connection) as queries:
        visit()
    found = [query["sql"] for query in queries if PASSWORD.search(query["sql"])]
    own = [sql for sql in found if signed_in and sql.endswith(f'WHERE "auth_user"."id" = {signed_in.pk} LIMIT 21')]
    return [sql for sql in found if sql not in own[:1]] + own[1:]


def pages(side: Side) -> Iterator[str]:
    """Lists, forms of something new, and one record of each kind."""
    for model, page in admin.site._registry.items():
        label, name = model._meta.label_lower, f"admin:{page.opts.app_label}_{page.opts.model_name}"
        if label in RESOURCES:
            yield from (reverse(f"{name}_changelist"), reverse(f"{name}_add"))
            if label in side.rows:
                yield reverse(f"{name}_change", args=[side.rows[label].pk])


def test_no_page_and_no_list_reads_passwords(ours: Side) -> None:
    client, api = Client(), Api(ours.team, role="owner")
    user = ours.users[Role.OWNER]
    client.force_login(user)
    ours.grow(2)
    found = {path: reading(partial(client.get, path), user) for path in ["/admin/", "/admin/inbox/", *pages(ours)]}
    for prefix, _, _ in router.registry:
        found[prefix] = reading(partial(api.get, f"{prefix}/", page_size="100"))
    assert {path: statements for path, statements in found.items() if statements} == {}
