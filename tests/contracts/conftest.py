"""The two teams, built once for each test that walks everything."""

import pytest
from pytest_django import DjangoDbBlocker

from tests.contracts.world import SECRET, Side

__all__ = ["DjangoDbBlocker"]


@pytest.fixture
def ours(db: None) -> Side:
    return Side("ourside")


@pytest.fixture
def theirs(db: None) -> Side:
    return Side(SECRET)
