"""One line that tells how far a long command is; silent where nobody looks at a terminal."""

from types import TracebackType
from typing import Self, TextIO

_WIDTH = 30


class ProgressLine:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self, *, stream: TextIO, quiet: bool = False) -> None:
        self._stream = stream
        self._shown = not quiet and stream.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            self._stream.write("\n")

    def show(self, done: int, total: int) -> None:
        """Draw the bar; `total` 0 means that it is not known."""
        if not self._shown:
            return
        share = min(1.0, done / total) if total else 0.0
        bar = "█" * round(share * _WIDTH)
        self._stream.write(f"\r{bar:░<{_WIDTH}} {share:4.0%}  {done:,} of {total:,}")
        self._stream.flush()
