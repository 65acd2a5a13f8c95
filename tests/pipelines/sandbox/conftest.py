"""No process of the sandbox outlives the tests that need one."""

from collections.abc import Iterator

import pytest

from pipelines.sandbox import running


@pytest.fixture(autouse=True, scope="module")
def ended() -> Iterator[None]:
    yield
    running.close()
