"""Every outgoing call of the product goes through the guarded channels: another client would go around them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
APPS = ("config", "crm", "contacts", "pipelines")
CLIENTS = frozenset(
    {"requests", "httpx", "httpcore", "urllib3", "aiohttp", "http.client", "urllib.request", "ftplib", "smtplib",
     "poplib", "imaplib", "telnetlib", "xmlrpc.client", "websockets", "pycurl", "asyncio.open_connection"}
)  # fmt: skip
# They ask for the machine's name or whether a port is free, and connect to nothing else.
MAY_USE_SOCKETS = frozenset(
    {
        "pipelines/engine/workers.py",
        "pipelines/engine/rescue.py",
        "crm/development.py",
        "crm/supervisor.py",
        "crm/beat.py",
    }
)
DYNAMIC = frozenset({"import_module", "importlib.import_module", "__import__"})


def imported(source: str) -> Iterator[str]:
    """Full names of everything a module imports, however it writes it down."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]) if ast.unparse(function) in DYNAMIC:
                yield name


def uses(source: str, clients: frozenset[str]) -> set[str]:
    found = set(imported(source))
    return {client for client in clients if any(name == client or name.startswith(f"{client}.") for name in found)}


@pytest.mark.parametrize(
    "source",
    [
        "import requests", "import urllib.request as r", "from urllib import request", "from http import client",
        "from urllib.request import urlopen", "from requests.adapters import HTTPAdapter", "import http.client",
        "__import__('httpx')", "importlib.import_module('urllib3')", "def f():\n    import smtplib",
        "from asyncio import open_connection",
    ],
)  # fmt: skip
def test_no_way_of_importing_a_client_is_missed(source: str) -> None:
    assert uses(source, CLIENTS)


@pytest.mark.parametrize("source", ["from urllib.parse import urlsplit", "from http import HTTPStatus", "import json"])
def test_what_calls_nobody_is_no_client(source: str) -> None:
    assert not uses(source, CLIENTS)


def test_nothing_else_in_the_product_calls_out() -> None:
    paths = [path for app in APPS for path in (ROOT / app).rglob("*.py")]
    outside = [path for path in paths if not path.is_relative_to(ROOT / "crm" / "channels")]
    assert len(outside) > 100
    sources = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in outside}
    assert {name: found for name, source in sources.items() if (found := uses(source, CLIENTS))} == {}
    sockets = {name for name, source in sources.items() if uses(source, frozenset({"socket"}))}
    assert sockets <= MAY_USE_SOCKETS
