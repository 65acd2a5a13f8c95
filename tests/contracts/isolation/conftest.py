"""Two teams that know nothing of each other, made once for all tests of a module; every test has them as they were."""

from collections.abc import Iterator
from copy import deepcopy

import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker

from tests.contracts.world import SECRET, Side


@pytest.fixture(scope="module")
def both(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[tuple[Side, Side]]:
    """What a test does lies in a savepoint of this transaction, of which nothing stays either."""
    around = transaction.atomic()
    # As around any test: what must begin a transaction of its own may do so in it.
    around._from_testcase = True  # type: ignore[attr-defined]
    with django_db_blocker.unblock():
        around.__enter__()
        made = Side("ourside"), Side(SECRET)
    yield made
    with django_db_blocker.unblock():
        transaction.set_rollback(True)
        around.__exit__(None, None, None)


@pytest.fixture
def ours(both: tuple[Side, Side], db: None) -> Side:
    return deepcopy(both[0])


@pytest.fixture
def theirs(both: tuple[Side, Side], db: None) -> Side:
    return deepcopy(both[1])
