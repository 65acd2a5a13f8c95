"""How many examples of a property that is slow to try: few at every run, thousands where they are asked for."""

from hypothesis import settings


def examples(few: int) -> int:
    """So many in the suite; with `EXAMPLES=thorough`, as in `make properties`, as many as its profile says."""
    asked = settings().max_examples
    return few if asked <= settings.get_profile("suite").max_examples else asked
