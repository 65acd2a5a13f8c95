"""What every test starts with: empty caches, no compiled programs of another test, no network but loopback."""

import gc
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from hypothesis import HealthCheck, settings
from pytest_django import DjangoDbBlocker
from pytest_socket import socket_allow_hosts

from tests import databases, families, order
from tests.forgetting import forget_caches

# Enough to catch a slip at every run; `make properties` asks for far more. Slow machines are no findings.
settings.register_profile("suite", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("suite"), max_examples=1_000)
# The fault points alone, with all actions in all scenes: `make chaos`.
settings.register_profile("walk", settings.get_profile("suite"))
settings.load_profile(os.environ.get("EXAMPLES", "suite"))


# pytest refuses a database to all tests in these; `asks_a_database` keeps others away.
WITHOUT_DATABASE = {
    Path(__file__).parent / place
    for place in ("bench", "crm/channels", "pipelines/definition", "pipelines/sandbox", "project", "sinks")
}

# Dozens of programs are started here: each shall find the product compiled, whatever a shell was told.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        families.begin_run()
    # As `order` has them, and not the groups with many tests first.
    config.option.loadscopereorder = False
    databases.begin()
    databases.keep_no_statements()
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput") and whole_suite(config):
        databases.prepare()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """When everybody has cleaned up, a process that a test left behind is a failure."""
    databases.prepared()
    left = [] if hasattr(session.config, "workerinput") else families.end_run()
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        session.config.get_terminal_writer().line(f"\nLeft behind, and ended now: {left}", red=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Workers of a parallel run leave what all share to the one who started them."""
    if not hasattr(config, "workerinput"):
        databases.end()


def whole_suite(config: pytest.Config) -> bool:
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The whole suite on PostgreSQL leaves out what the suite on SQLite shows without a database."""
    whole = whole_suite(config)
    return True if whole and connection.vendor == "postgresql" and collection_path in WITHOUT_DATABASE else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What shares a house stays together; tests that wait for programs are spread among those that compute."""
    strangers = [item.nodeid for item in items if asks_a_database(item) and WITHOUT_DATABASE & {*item.path.parents}]
    assert not strangers, f"PostgreSQL would not see them there: {strangers}"
    items[:] = order.spread(items)
    if config.getoption("loadgroup", False):
        for item in items:
            keep_together(item)


def pytest_collection_finish() -> None:
    """What is imported and collected by now lives until the end: nobody need look for garbage among it, and what
    one test leaves is little."""
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)


def asks_a_database(item: pytest.Item) -> bool:
    names = getattr(item, "fixturenames", ())
    return "db" in names or "transactional_db" in names or item.get_closest_marker("django_db") is not None


def keep_together(item: pytest.Item) -> None:
    """Scheduling reads the group from the end of the id, where pytest-xdist 3.8 cannot write it with pytest 9.2."""
    mark = item.get_closest_marker("xdist_group")
    if mark is not None and not item.nodeid.endswith(f"@{mark.args[0]}"):
        item._id = type(item.id).parse(f"{item.nodeid}@{mark.args[0]}")


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: DjangoDbBlocker, django_db_modify_db_settings: None
) -> Iterator[None]:
    """All workers of a run have copies of one database, which was migrated once."""
    with django_db_blocker.unblock():
        before = databases.for_tests()
    yield
    with django_db_blocker.unblock():
        connection.creation.destroy_test_db(before, verbosity=0)


@pytest.fixture
def django_assert_num_queries(django_assert_num_queries: Any) -> Any:
    """Statements of a process at work: which tests ran before does not decide whether kinds are known already."""
    return partial(_with_kinds_known, django_assert_num_queries)


@pytest.fixture
def django_assert_max_num_queries(django_assert_max_num_queries: Any) -> Any:
    return partial(_with_kinds_known, django_assert_max_num_queries)


def _with_kinds_known(budget: Any, *args: Any, **named: Any) -> Any:
    ContentType.objects.get_for_models(*apps.get_models())
    return budget(*args, **named)


@pytest.fixture(autouse=True)
def nothing_left_over() -> None:
    forget_caches()


def pytest_runtest_setup() -> None:
    """Tests speak with servers of their own on this machine only."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
