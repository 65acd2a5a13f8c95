"""A program that answers one JSON line to each JSON line."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from tests import families
from tests.project.processes import ROOT, leave_nothing


class Pipe:
    """Started at once, closed with all its children."""

    def __init__(self, *arguments: str, environment: Mapping[str, str]) -> None:
        self._word = uuid4().hex
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, **environment, families.FAMILY: self._word},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the program is gone"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        leave_nothing(self._process, self._word)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
