"""What every test starts with: empty caches, no compiled programs of another test, no network but loopback."""

import pytest
from django.core.cache import cache
from pytest_socket import socket_allow_hosts

from pipelines.engine.programs import forget_programs
from pipelines.engine.short_way import forget_ways


@pytest.fixture(autouse=True)
def nothing_left_over() -> None:
    """Ids begin again with every test, so what is cached under them must not outlive one."""
    forget_programs()
    forget_ways()
    cache.clear()


def pytest_runtest_setup() -> None:
    """Tests speak with servers of their own on this machine only."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
