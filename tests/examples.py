"""How many examples of a property that is slow to try: few at every run, thousands where they are asked for."""

import os

from hypothesis import settings

MOST_TOGETHER = 20


def examples(few: int) -> int:
    """So many in the suite; with `EXAMPLES=thorough`, as in `make properties`, as many as its profile says."""
    asked = settings().max_examples
    return few if asked <= settings.get_profile("suite").max_examples else asked


def together(few: int) -> int:
    """How many examples share a database and its passes: `few` in the suite."""
    return min(MOST_TOGETHER, examples(few))


def groups(size: int) -> range:
    """Numbers of groups of this size, from `FIRST_GROUP` on, to try others than the last time."""
    first = int(os.environ.get("FIRST_GROUP", "0"))
    return range(first, first + examples(size) // size)
