"""`manage.py` commands one after the other, each in a process of its own that is forked from a ready program.

What a command does is the same; the second that each would need to import the product is spent once.
"""

import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.databases import keep_no_statements
from tests.faults.programs import Pipe

SECONDS = 120


@dataclass(frozen=True, slots=True)
class Done:
    """Exit status and output of a command."""

    status: int
    out: str
    err: str


class Commands:
    """`run("migrate", "--verbosity", "0")` with these additions to the environment."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = dict(environment)
        self._pipe = Pipe("-m", "tests.commands", environment=self.environment)

    def run(self, *arguments: str) -> Done:
        return Done(**self._pipe.ask({"arguments": arguments}))

    def close(self) -> None:
        self._pipe.close()


def _main() -> None:
    import django
    from django.core.management import execute_from_command_line  # noqa: F401
    from django.urls import get_resolver

    django.setup()
    keep_no_statements()
    get_resolver().reverse_dict  # noqa: B018
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(_done(json.loads(line)["arguments"])), file=answers, flush=True)


def _done(arguments: Sequence[str]) -> dict[str, Any]:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        pid = os.fork()
        if pid == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            _live(arguments)
        _, status = os.waitpid(pid, 0)
        out.seek(0)
        err.seek(0)
        return {"status": os.waitstatus_to_exitcode(status), "out": out.read(), "err": err.read()}


def _live(arguments: Sequence[str]) -> None:
    """Never returns."""
    from django.core.management import execute_from_command_line

    status: Any = 1
    signal.alarm(SECONDS)
    try:
        execute_from_command_line(["manage.py", *arguments])
        status = 0
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    _main()
