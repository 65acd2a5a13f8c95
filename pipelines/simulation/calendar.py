"""Everything one contact will receive, over all pipelines, with the rule that holds or skips each item."""

from datetime import datetime, timedelta
from typing import Any, Final

from contacts.models import Contact
from crm.models import Team
from pipelines.engine.clock import engine_now, pretend
from pipelines.engine.deliver import delivered_by
from pipelines.simulation.besides import besides
from pipelines.simulation.expected import expected
from pipelines.simulation.play import Outside, not_over, play
from pipelines.simulation.reading import read_only
from pipelines.simulation.scratch import scratch
from pipelines.simulation.standing import keep_open_ways, read_standing
from pipelines.simulation.twin import OutsideTwin
from pipelines.simulation.world import keep_segments

DAYS: Final = 90
MOST_DAYS: Final = 366
SECONDS: Final = 20.0


def calendar_of(
    *, team: Team, contact: Contact, days: int = DAYS, now: datetime | None = None, seconds: float = SECONDS
) -> dict[str, Any]:
    """What comes to a contact of the team in the next `days`: `{from, until, runs, items, complete, warnings}`.

    The live runs go on as they stand, by the engine itself, in a database in memory and on a clock that jumps:
    nothing is sent and nothing is written. All runs are played together, so that what one pipeline sends counts
    under the cap of the others. Mails that ask for a confirmation and messages in doubt stand beside what runs will
    send. Nobody answers and nothing happens from outside; calls of other systems go well.
    """
    begins = now or engine_now()
    until = begins + timedelta(days=min(days, MOST_DAYS))
    # Tasks stay open: people answer when they do.
    moments: list[datetime] = []
    with read_only():
        standing = read_standing(team=team, contact=contact, now=begins)
        more = besides(contact, begins=begins, until=until)
    with scratch() as first_id, pretend(begins):
        standing.world.settle()
        keep_open_ways()
        keep_segments()
        with delivered_by(OutsideTwin({})):
            said = play(start=begins, until=until, outside=Outside(), after_each=moments.append, seconds=seconds)
        found = expected(standing, first_id=first_id, begins=begins)
    found["items"] = sorted([*more, *found["items"]], key=lambda item: item["at"])
    broken_off = [each for each in said if each != not_over(until)]
    return {
        "contact": contact.pk,
        "from": begins,
        "until": moments[-1] if broken_off else until,
        **found,
        "complete": not said,
        "warnings": [*standing.world.warnings, *broken_off],
    }
