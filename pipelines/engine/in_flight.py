"""`settings.max_in_flight` of a pipeline: so many of its messages and calls are on their way at the same time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count

from pipelines.engine.leases import requeue
from pipelines.engine.programs import LoadedProgram
from pipelines.engine.store import store
from pipelines.models import Effect, EngineState

# Where others hold all places, the rest is looked at again this much later.
AGAIN = timedelta(seconds=5)
LATELY = timedelta(seconds=1)
# Once a cap was met, so many times its places are taken at once, for what is taken too much has to be put back.
FEW = 4


def flight_of(loaded: LoadedProgram, pipeline_id: int) -> dict[str, Any]:
    """What an effect carries so that its lease knows the cap; nothing without one."""
    most = loaded.program.settings.get("max_in_flight")
    return {"flight": [pipeline_id, int(most)]} if most else {}


class Leased(NamedTuple):
    """Effects that may fly, whether there may be more at once, and how many are worth taking then (None: as usual)."""

    effects: list[Effect]
    more: bool
    limit: int | None = None


def within_caps(leased: Sequence[Effect], *, now: datetime, full: bool) -> Leased:
    """Of effects leased in this transaction those that may fly; the others go back. `full`: a whole lease was taken.

    The places of a pipeline are given by one worker at a time. Pipelines without a cap cost nothing.
    """
    caps: dict[int, int] = {}
    for effect in leased:
        if flight := effect.payload.get("flight"):
            pipeline_id, most = flight
            # Effects of several versions: the smallest number that any of them names.
            caps[pipeline_id] = min(int(most), caps.get(pipeline_id, int(most)))
    if not caps:
        return Leased(list(leased), full)
    taken = _taken_by_others(caps, leased)
    kept: list[Effect] = []
    surplus: list[Effect] = []
    for effect in sorted(leased, key=lambda each: (each.available_at, each.pk)):
        pipeline = (effect.payload.get("flight") or (0,))[0]
        if pipeline == 0 or taken[pipeline] < caps[pipeline]:
            kept.append(effect)
            taken[pipeline] += 1
        else:
            surplus.append(effect)
    if not surplus:
        return Leased(kept, full)
    ours = {effect.payload["flight"][0] for effect in kept if "flight" in effect.payload}
    soon = [effect for effect in surplus if effect.payload["flight"][0] in ours]
    _put_back(soon, surplus, now)
    return Leased(kept, full or bool(soon), FEW * min(caps[effect.payload["flight"][0]] for effect in surplus))


def _put_back(soon: Sequence[Effect], surplus: Sequence[Effect], now: datetime) -> None:
    """In their order behind what was due before; where others hold all places, a little later."""
    requeue(surplus, now + AGAIN)
    times: dict[int, datetime] = {}
    for behind, effect in enumerate(reversed(soon)):
        # Who stands at the end of the queue already keeps the place.
        placed = now - effect.available_at < LATELY
        times[effect.pk] = effect.available_at if placed else now - timedelta(microseconds=behind)
    if times:
        store().update_rows(Effect, ("available_at",), [(pk, (at,)) for pk, at in times.items()])


def _taken_by_others(caps: Mapping[int, int], leased: Sequence[Effect]) -> Counter[int]:
    names = [f"flight:{pipeline_id}" for pipeline_id in sorted(caps)]
    EngineState.objects.bulk_create([EngineState(name=name) for name in names], ignore_conflicts=True)
    # In one order, so that two workers never wait for each other.
    list(EngineState.objects.filter(name__in=names).order_by("name").select_for_update())
    flying = (
        Effect.objects.filter(run__pipeline_id__in=caps, status__in=[Effect.Status.LEASED, Effect.Status.SENDING])
        .exclude(pk__in=[effect.pk for effect in leased])
        .exclude(kind=Effect.Kind.TEST)
    )
    rows = flying.order_by().values_list("run__pipeline_id").annotate(n=Count("pk"))
    return Counter(dict(rows))
