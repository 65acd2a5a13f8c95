"""A database in memory that stands in for the real one while a simulation runs in this thread."""

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.sqlite3.base import DatabaseWrapper

from crm.outside import closed

# What the engine reads and writes lives in these apps; sessions, queues and the like are not needed.
APPS = ("contenttypes", "auth", "crm", "contacts", "pipelines")
# Rows that are made in a simulation get ids that no real row has, so that nothing cached by id is ever mixed up.
FIRST_ID = 2**40
IDS_EACH = 2**20

_simulations = itertools.count()


@contextmanager
def scratch() -> Iterator[int]:
    """Let this thread's default connection be an empty copy of the schema; gives the first id of its new rows.

    Nothing in here can reach the real database or leave the machine.
    """
    real = connections[DEFAULT_DB_ALIAS]
    first_id = FIRST_ID + next(_simulations) * IDS_EACH
    wrapper = _connect()
    wrapper.connection.deserialize(_schema())
    _number_from(wrapper, first_id)
    connections[DEFAULT_DB_ALIAS] = wrapper
    try:
        with closed("a simulation"):
            yield first_id
    finally:
        connections[DEFAULT_DB_ALIAS] = real
        wrapper.connection.close()


def _connect() -> Any:
    settings = {**connections.settings[DEFAULT_DB_ALIAS], "ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    settings |= {"OPTIONS": {}, "ATOMIC_REQUESTS": False, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}
    wrapper: Any = DatabaseWrapper(settings, DEFAULT_DB_ALIAS)
    wrapper.connect()
    # Rows are copied as far as they are needed; what they point to beyond that may be missing.
    wrapper.connection.execute("PRAGMA foreign_keys = OFF")
    return wrapper


@cache
def _schema() -> bytes:
    """The tables as the models describe them, made once per process."""
    wrapper = _connect()
    try:
        with wrapper.schema_editor() as editor:
            for model in tables():
                editor.create_model(model)
        made: sqlite3.Connection = wrapper.connection
        return made.serialize()
    finally:
        wrapper.connection.close()


def tables() -> list[type[models.Model]]:
    """Every model with a table of its own."""
    found = [model for label in APPS for model in apps.get_app_config(label).get_models()]
    return [model for model in found if model._meta.managed and not model._meta.proxy]


def _number_from(wrapper: Any, first_id: int) -> None:
    rows = [(model._meta.db_table, first_id - 1) for model in tables() if model._meta.auto_field is not None]
    wrapper.connection.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", rows)
