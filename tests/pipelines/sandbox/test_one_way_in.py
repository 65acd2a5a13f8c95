"""S96: whatever people write is read by our own grammar or run in the sandbox; there is no other way to run text."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
APPS = ("config", "crm", "contacts", "pipelines")
RUNNERS = frozenset({"eval", "exec", "compile", "execfile", "runpy.run_path", "runpy.run_module", "code.interact"})
# They run what they read, or make objects of any class.
READERS = frozenset({"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "jinja2", "mako", "simpleeval"})
# Templates of the product itself are files; one made of text would be somebody's.
FROM_TEXT = frozenset({"Template", "from_string"})
SANDBOX = "pipelines.sandbox.running"
MAY_RUN = {"pipelines/engine/coded.py"}
# Messages, by Liquid, which knows no attributes and calls nothing.
MAY_READ = {"pipelines/definition/templates.py"}


def runs(source: str) -> Iterator[str]:
    """Names by which a module could run text."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=function):
                name = ast.unparse(function)
                last = name.rpartition(".")[2]
                if name.removeprefix("builtins.") in RUNNERS or last in FROM_TEXT:
                    yield name
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.partition(".")[0] in READERS)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in READERS:
                yield module


def calls_sandbox(source: str) -> bool:
    return SANDBOX.rpartition(".")[0] in source and "running.run(" in source


@pytest.mark.parametrize(
    "source",
    ["eval('1')", "exec(text)", "builtins.eval(x)", "compile(a, b, 'exec')", "import pickle", "from yaml import load",
     "Template(text).render(c)", "engines['django'].from_string(text)", "import jinja2.sandbox"],
)  # fmt: skip
def test_no_way_of_running_text_is_missed(source: str) -> None:
    assert list(runs(source))


def test_nothing_in_the_product_runs_text_beside_the_sandbox() -> None:
    paths = [path for app in APPS for path in (ROOT / app).rglob("*.py")]
    sources = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}
    assert len(sources) > 200
    assert {name for name, source in sources.items() if set(runs(source))} == MAY_READ
    assert {name for name, source in sources.items() if calls_sandbox(source)} == MAY_RUN
