"""Receipts as lines of a file, on disk before the sender hears that it was accepted."""

import json
import os
import threading
from pathlib import Path
from typing import Any


class Receipts:
    """Append-only; several threads may write, any process may read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8")

    def add(self, **receipt: Any) -> None:
        with self._lock:
            self._file.write(json.dumps(receipt) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def all(self) -> list[dict[str, Any]]:
        """All receipts whose lines are ended; one that is being written counts when it is whole."""
        whole, _, _ = self.path.read_text("utf-8").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def close(self) -> None:
        self._file.close()
