"""What visits look for is found before they are planned: once for all that look for the same."""

from collections.abc import Sequence

from pipelines.actions.base import Fail, Found, Input, Kind
from pipelines.definition.program import Step
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Cursor
from pipelines.engine.writing import write_records

Entering = list[tuple[Cursor, Input]]


def searched(batch: Batch, kind: Kind, step: Step, entering: Sequence[tuple[Cursor, Input]]) -> Entering:
    """The visits with what each looks for; one statement for each distinct search."""
    done: dict[str, Found] = {}
    ready: Entering = []
    for cursor, visit in entering:
        wanted = kind.search(step, visit)
        if wanted is None:
            ready.append((cursor, visit))
            continue
        if isinstance(wanted, Fail):
            found = Found(error=wanted.error)
        else:
            if not done:
                # What steps before this one changed in the same transaction must be found.
                write_records(batch)
            if wanted.key not in done:
                done[wanted.key] = batch.store.search(wanted)
            found = done[wanted.key]
        ready.append((cursor, visit._replace(found=found)))
    return ready
