"""Two teams that know nothing of each other, made once for all tests of a module; every test has them as they were."""

from collections.abc import Iterator
from copy import deepcopy

import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker

from tests.contracts.world import SECRET, Side
from tests.forgetting import forget_caches


@pytest.fixture(scope="module")
def both(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[tuple[Side, Side]]:
    """What a test does lies in a savepoint of this transaction, of which nothing stays either."""
    around = transaction.atomic()
    # As around any test: what must begin a transaction of its own may do so in it.
    around._from_testcase = True  # type: ignore[attr-defined]
    with django_db_blocker.unblock():
        around.__enter__()
    try:
        yield _made(django_db_blocker)
    finally:
        # Also where the teams could not be made: other tests of this process shall not stand in what broke.
        with django_db_blocker.unblock():
            transaction.set_rollback(True)
            around.__exit__(None, None, None)


def _made(django_db_blocker: DjangoDbBlocker) -> tuple[Side, Side]:
    """What empties the caches comes after this: what another test left there under the same ids would still hold."""
    forget_caches()
    with django_db_blocker.unblock():
        return Side("ourside"), Side(SECRET)


@pytest.fixture
def ours(both: tuple[Side, Side], db: None) -> Side:
    return deepcopy(both[0])


@pytest.fixture
def theirs(both: tuple[Side, Side], db: None) -> Side:
    return deepcopy(both[1])
