"""What failed inside a block, in a sentence for each: the branch, round or pipeline, its step and its error."""

from collections.abc import Iterable, Sequence
from typing import Final

from pipelines.actions.base import ChildResult

# The others are counted; each has a log of its own.
MOST_TOLD: Final = 3


def broken(children: Iterable[ChildResult]) -> list[ChildResult]:
    """Those that count as failed: by an error, or ended by somebody before they were done."""
    return [child for child in children if child.finished and child.status in ("failed", "cancelled")]


def told(what: str, child: ChildResult) -> str:
    """Such as "Round 2 of 3 failed at charge: The receiver answered 404."."""
    sentence = f"{what} {'was cancelled' if child.status == 'cancelled' else 'failed'}"
    if child.failed_at:
        sentence += f" at {child.failed_at}"
    if child.error:
        sentence += f": {child.error}"
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def rounds(children: Sequence[ChildResult], *, planned: int | None) -> str:
    """The rounds that failed, counted from 1 as people do; of several how many, and the first of them."""
    found = broken(children)
    if len(found) == 1:
        return told(f"Round {found[0].slot + 1}{f' of {planned}' if planned else ''}", found[0])
    first = " ".join(told(f"Round {child.slot + 1}", child) for child in found[:MOST_TOLD])
    return f"{len(found)} of {planned or len(children)} rounds failed. {first}".rstrip()
